import { Command } from 'commander';
import type { Flags } from '../../config.ts';
import { configuredClient } from '../client.ts';
import { byOption, outputOption, serverOption, withExamples } from '../options.ts';
import { type Format, print } from '../print.ts';
import { sayEndedByName } from '../show-process.ts';

export function failCommand(): Command {
  const command = new Command('fail')
    .description(
      'Fail a task of a process that is active and that nobody has claimed, by its name and for good. The same again answers the same',
    )
    .summary('fail a task of a process by its name')
    .argument('<id>', 'of the process')
    .argument('<task>', 'its name, or its place among the tasks, from 1')
    .requiredOption('--error <message>', 'why')
    .addOption(byOption())
    .addOption(serverOption())
    .addOption(outputOption())
    .action(fail);
  return withExamples(command, [
    '$ skipjack fail $PROCESS_ID "Review Credit" --error "the score is too low" --by ada',
  ]);
}

async function fail(
  id: string,
  task: string,
  { error, by, ...flags }: Flags & { error: string; by?: string; output: Format },
): Promise<void> {
  const ended = await configuredClient(flags).failTaskByName(id, task, { error, by });
  await print(ended, flags.output, () => sayEndedByName(ended, { task, how: 'failed' }));
}
