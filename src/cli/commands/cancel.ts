import { Command } from 'commander';
import type { Flags } from '../../config.ts';
import { configuredClient } from '../client.ts';
import { outputOption, serverOption, withExamples } from '../options.ts';
import { type Format, print } from '../print.ts';
import { askBoth } from '../task-or-process.ts';

export function cancelCommand(): Command {
  const command = new Command('cancel')
    .description('Cancel a task or a process: what waits ends at once, what runs is asked to stop')
    .summary('cancel a task or a process')
    .argument('<id>', 'of a task or a process')
    .addOption(serverOption())
    .addOption(outputOption())
    .action(cancel);
  return withExamples(command, [
    '$ skipjack cancel 0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
    '$ skipjack cancel $ID && skipjack get $ID --wait 30s',
  ]);
}

async function cancel(id: string, flags: Flags & { output: Format }): Promise<void> {
  const client = configuredClient(flags);
  const { what, view, running } = await askBoth(
    id,
    async () => ({
      what: 'task',
      view: await client.cancelTask(id),
      running: 'Its worker was asked to stop it.',
    }),
    async () => ({
      what: 'process',
      view: await client.cancelProcess(id),
      running: 'Nothing more of it starts; the workers of what runs were asked to stop.',
    }),
  );
  await print(view, flags.output, () =>
    view.finished_at === null ? running : `The ${what} is ${view.state}.`,
  );
}
