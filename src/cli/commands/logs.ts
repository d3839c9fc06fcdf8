import { Command } from 'commander';
import type { Client } from '../../client/client.ts';
import type { LogLineView } from '../../client/logs.ts';
import type { Flags } from '../../config.ts';
import { configuredClient } from '../client.ts';
import { createLogPrinter, type LogPrinter } from '../log-lines.ts';
import { outputOption, serverOption, wholeNumberArgument, withExamples } from '../options.ts';
import type { Format } from '../print.ts';
import { remark } from '../print.ts';
import { askBoth } from '../task-or-process.ts';

const pageLines = 500;
const interrupted = 130;

interface LogFlags extends Flags {
  follow?: boolean;
  tail?: number;
  attempt?: number;
  timestamps?: boolean;
  output: Format;
}

export function logsCommand(): Command {
  const command = new Command('logs')
    .description(
      'Show what a task said, in all its attempts, or what the tasks of a process said, as it came',
    )
    .summary('show what a task or a process said')
    .argument('<id>', 'of a task or a process')
    .option('-f, --follow', 'go on until it has ended')
    .option(
      '--tail <n>',
      'begin with the last so many lines',
      wholeNumberArgument('--tail', { min: 0, max: 10_000 }),
    )
    .option(
      '--attempt <n>',
      'only the attempt with this number',
      wholeNumberArgument('--attempt', { min: 1, max: 999_999_999 }),
    )
    .option('--timestamps', 'begin each line with the time at which it was said')
    .addOption(serverOption())
    .addOption(outputOption('how lines are written; json with --follow: one object a line'))
    .action(logs);
  command.addHelpText(
    'after',
    `
What was said on stdout comes on stdout, what was said on stderr, and by the worker itself, on stderr; -o json
has everything on stdout. The exit code is 0, however the task or process ended.`,
  );
  return withExamples(command, [
    '$ skipjack logs 0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
    '$ skipjack logs -f --tail 20 $PROCESS_ID',
    '$ skipjack logs $TASK_ID 2>/dev/null > output.txt',
    `$ skipjack logs $PROCESS_ID -o json | jq -r '.[] | select(.stream == "stderr").text'`,
  ]);
}

type Of = { task: string } | { process: string };

async function logs(id: string, flags: LogFlags): Promise<void> {
  const client = configuredClient(flags);
  const of = await askBoth<Of, Of>(
    id,
    async () => {
      await client.listTaskLogs(id, { limit: 1 });
      return { task: id };
    },
    async () => {
      await client.listProcessLogs(id, { limit: 1 });
      return { process: id };
    },
  );
  const { follow: isFollowed = false, timestamps: withTimes = false, output } = flags;
  const printer = createLogPrinter({
    format: output === 'text' ? 'text' : isFollowed ? 'json_lines' : 'json',
    withNames: 'process' in of,
    withTimes,
  });
  if (isFollowed) await follow(client, of, flags, printer);
  else await showAll(client, of, flags, printer);
}

/** What there is now. */
async function showAll(
  client: Client,
  of: Of,
  { tail, attempt }: LogFlags,
  printer: LogPrinter,
): Promise<void> {
  let cursor: string | undefined;
  for (let lines: LogLineView[] | null = []; lines !== null; ) {
    const page = { limit: pageLines, attempt, ...(cursor === undefined ? { tail } : { cursor }) };
    const { lines: read, next_cursor } =
      'task' in of
        ? await client.listTaskLogs(of.task, page)
        : await client.listProcessLogs(of.process, page);
    await printer.print(read);
    cursor = next_cursor ?? undefined;
    // Of what has not ended there is always a cursor to go on from.
    lines = read.length === 0 || next_cursor === null ? null : read;
  }
  await printer.end();
}

async function follow(
  client: Client,
  of: Of,
  { tail, attempt }: LogFlags,
  printer: LogPrinter,
): Promise<void> {
  const leaving = new AbortController();
  const leave = () => leaving.abort();
  process.once('SIGINT', leave);
  let isLost = false;
  try {
    const lines = client.followLogs(of, {
      tail,
      attempt,
      signal: leaving.signal,
      onLost({ message }) {
        if (!isLost) remark(`skipjack: ${message} Trying again.`);
        isLost = true;
      },
    });
    for await (const { cursor: _cursor, ...line } of lines) {
      isLost = false;
      await printer.print([line]);
    }
  } catch (error) {
    if (!leaving.signal.aborted) throw error;
    process.exitCode = interrupted;
  } finally {
    process.off('SIGINT', leave);
  }
}
