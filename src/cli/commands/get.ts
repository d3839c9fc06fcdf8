import { Command } from 'commander';
import type { Flags } from '../../config.ts';
import { configuredClient } from '../client.ts';
import { outputOption, serverOption, waitOption, withExamples } from '../options.ts';
import { type Format, print } from '../print.ts';
import { exitCodeOf, formatTask, remarkEnd } from '../show-task.ts';

export function getCommand(): Command {
  const command = new Command('get')
    .description('Show one task: its state, attempts, output and error')
    .summary('show one task')
    .argument('<id>')
    .addOption(waitOption('wait so long for its end; the exit code then says how it ended, as with enqueue'))
    .addOption(serverOption())
    .addOption(outputOption())
    .action(get);
  return withExamples(command, [
    '$ skipjack get 0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
    '$ skipjack get $TASK_ID --wait 1m -o json | jq .output',
  ]);
}

async function get(id: string, flags: Flags & { wait?: number; output: Format }): Promise<void> {
  const client = configuredClient(flags);
  const { wait } = flags;
  const task = await (wait === undefined ? client.getTask(id) : client.waitForTask(id, { waitMs: wait }));
  await print(task, flags.output, () => formatTask(task));
  if (wait === undefined) return;
  remarkEnd(task, wait);
  process.exitCode = exitCodeOf(task);
}
