import { Command, Option } from 'commander';
import type { Flags } from '../../config.ts';
import { SkipjackError } from '../../core/errors.ts';
import type { Json } from '../../core/json.ts';
import { configuredClient } from '../client.ts';
import { outputOption, parseJson, serverOption, usage, withExamples } from '../options.ts';
import { type Format, print } from '../print.ts';
import { askBoth } from '../task-or-process.ts';

export function retryCommand(): Command {
  const command = new Command('retry')
    .description(
      'Go on with a failed process from what failed, with new budgets of attempts; or, by the id of a task, replay its dead letter',
    )
    .summary('go on with a failed process, or a failed task')
    .argument('<id>', 'of a process, or of a task that failed')
    .addOption(
      new Option(
        '--input-of <task=json>',
        'what a failed task of the process gets in place of its input; repeat for more',
      ).argParser(readInputOf),
    )
    .addOption(serverOption())
    .addOption(outputOption())
    .action(retry);
  return withExamples(command, [
    '$ skipjack retry 0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
    `$ skipjack retry $PROCESS_ID --input-of 'Review Credit={"applicant": "Ann"}'`,
    '$ skipjack retry $PROCESS_ID && skipjack get $PROCESS_ID --wait 10m',
  ]);
}

/** Names of tasks may have a `=`, and JSON may: the first one that JSON follows counts. */
function readInputOf(text: string, known: Record<string, Json> = {}): Record<string, Json> {
  const first = text.indexOf('=');
  if (first < 1)
    throw usage(`--input-of "${text}" has no task and JSON. For example: --input-of 'Pay={"amount": 5}'`);
  let at = first;
  while (at !== -1 && !isJson(text.slice(at + 1))) at = text.indexOf('=', at + 1);
  const [name, json] =
    at === -1 ? [text.slice(0, first), text.slice(first + 1)] : [text.slice(0, at), text.slice(at + 1)];
  const input = parseJson(`--input-of "${name}"`, json, `--input-of '${name}="hello"'`);
  if (Object.hasOwn(known, name)) throw usage(`--input-of names "${name}" twice.`);
  return Object.fromEntries([...Object.entries(known), [name, input]]);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

async function retry(
  id: string,
  { inputOf, ...flags }: Flags & { output: Format; inputOf?: Record<string, Json> },
): Promise<void> {
  const client = configuredClient(flags);
  const { view, said } = await askBoth(
    id,
    async () => {
      const process = await client.retryProcess(id, { inputs: inputOf });
      const names = process.retried.map((name) => `"${name}"`).join(', ');
      return { view: process, said: `The process is ${process.state} again${names && `, with ${names}`}.` };
    },
    async () => {
      if (inputOf) throw new SkipjackError('not_found', 'not asked: only a process has failed tasks by name');
      const task = await client.replayDeadLetter(id);
      return { view: task, said: `The task is ${task.state} again.` };
    },
  ).catch((error: unknown) => {
    if (!(error instanceof SkipjackError) || error.code !== 'not_found') throw error;
    const what = inputOf ? 'no process' : 'no process and no dead letter';
    throw new SkipjackError('not_found', `There is ${what} with the id "${id}".`);
  });
  await print(view, flags.output, () => said);
}
