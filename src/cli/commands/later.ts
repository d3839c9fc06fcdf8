import { Command } from 'commander';
import { usage } from '../options.ts';

const later: Record<string, string> = {
  prune: 'deleting what ended long ago',
};

/** Commands of later versions: refused by name, so that nobody looks for a typing mistake. */
export function laterCommands(): Command[] {
  return Object.entries(later).map(([name, what]) =>
    new Command(name)
      .argument('[anything...]')
      .allowUnknownOption()
      .helpOption(false)
      .action(() => {
        throw usage(`"skipjack ${name}" is not there yet: ${what} comes with a later version.`);
      }),
  );
}
