import { Command } from 'commander';
import type { Flags } from '../../config.ts';
import { configuredClient } from '../client.ts';
import { byOption, outputOption, parseJson, serverOption, withExamples } from '../options.ts';
import { type Format, print } from '../print.ts';
import { sayEndedByName } from '../show-process.ts';

export function completeCommand(): Command {
  const command = new Command('complete')
    .description(
      'Complete a task of a process that is active and that nobody has claimed, by its name. The same again answers the same',
    )
    .summary('complete a task of a process by its name')
    .argument('<id>', 'of the process')
    .argument('<task>', 'its name, or its place among the tasks, from 1')
    .option('--result <json>', 'its output; null without')
    .addOption(byOption())
    .addOption(serverOption())
    .addOption(outputOption())
    .action(complete);
  return withExamples(command, [
    '$ skipjack complete $PROCESS_ID "Open Loan Application"',
    `$ skipjack complete $PROCESS_ID "Review Credit" --result '{"score":710}' --by ada`,
  ]);
}

async function complete(
  id: string,
  task: string,
  flags: Flags & { result?: string; by?: string; output: Format },
): Promise<void> {
  const output = flags.result === undefined ? undefined : parseJson('--result', flags.result);
  const ended = await configuredClient({ ...flags }).completeTaskByName(id, task, { output, by: flags.by });
  await print(ended, flags.output, () => sayEndedByName(ended, { task, how: 'completed' }));
}
