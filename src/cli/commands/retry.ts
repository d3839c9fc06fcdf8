import { Command } from 'commander';
import type { Flags } from '../../config.ts';
import { SkipjackError } from '../../core/errors.ts';
import { configuredClient } from '../client.ts';
import { outputOption, serverOption, withExamples } from '../options.ts';
import { type Format, print } from '../print.ts';
import { askBoth } from '../task-or-process.ts';

export function retryCommand(): Command {
  const command = new Command('retry')
    .description(
      'Go on with a failed process from what failed, with new budgets of attempts; or, by the id of a task, replay its dead letter',
    )
    .summary('go on with a failed process, or a failed task')
    .argument('<id>', 'of a process, or of a task that failed')
    .addOption(serverOption())
    .addOption(outputOption())
    .action(retry);
  return withExamples(command, [
    '$ skipjack retry 0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
    '$ skipjack retry $PROCESS_ID && skipjack get $PROCESS_ID --wait 10m',
  ]);
}

async function retry(id: string, flags: Flags & { output: Format }): Promise<void> {
  const client = configuredClient(flags);
  const { view, said } = await askBoth(
    id,
    async () => {
      const process = await client.retryProcess(id);
      const names = process.retried.map((name) => `"${name}"`).join(', ');
      return { view: process, said: `The process is ${process.state} again, with ${names}.` };
    },
    async () => {
      const task = await client.replayDeadLetter(id);
      return { view: task, said: `The task is ${task.state} again.` };
    },
  ).catch((error: unknown) => {
    if (!(error instanceof SkipjackError) || error.code !== 'not_found') throw error;
    throw new SkipjackError('not_found', `There is no process and no dead letter with the id "${id}".`);
  });
  await print(view, flags.output, () => said);
}
