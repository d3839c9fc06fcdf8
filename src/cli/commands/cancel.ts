import { Command } from 'commander';
import type { Flags } from '../../config.ts';
import { hasEnded } from '../../core/task.ts';
import { configuredClient } from '../client.ts';
import { outputOption, serverOption, withExamples } from '../options.ts';
import { type Format, print } from '../print.ts';

export function cancelCommand(): Command {
  const command = new Command('cancel')
    .description('Cancel a task: one that waits ends at once, a running one is asked to stop')
    .summary('cancel a task')
    .argument('<id>')
    .addOption(serverOption())
    .addOption(outputOption())
    .action(cancel);
  return withExamples(command, [
    '$ skipjack cancel 0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
    '$ skipjack cancel $TASK_ID && skipjack get $TASK_ID --wait 30s',
  ]);
}

async function cancel(id: string, flags: Flags & { output: Format }): Promise<void> {
  const task = await configuredClient(flags).cancelTask(id);
  await print(task, flags.output, () =>
    hasEnded(task.state) ? `The task is ${task.state}.` : 'Its worker was asked to stop it.',
  );
}
