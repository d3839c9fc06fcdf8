import { Command, Option } from 'commander';
import type { DeadLetter } from '../../client/views.ts';
import type { Flags } from '../../config.ts';
import { configuredClient } from '../client.ts';
import { outputOption, serverOption, usage, withExamples } from '../options.ts';
import { limitOption, readPages, remarkMore } from '../pages.ts';
import { type Format, print, remark } from '../print.ts';
import { formatFields, formatTable, shortTime } from '../table.ts';

interface Filter extends Flags {
  queue?: string;
  name?: string;
  reason?: 'failed' | 'lost_too_often';
  output: Format;
}

export function deadLettersCommand(): Command {
  const command = new Command('dead-letters')
    .description('Tasks that failed for good or were lost too often: look at them, run them again')
    .summary('tasks that failed for good: list, show, replay')
    .addCommand(listCommand())
    .addCommand(showCommand())
    .addCommand(replayCommand());
  return withExamples(command, [
    '$ skipjack dead-letters list --queue mail',
    '$ skipjack dead-letters show 0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
    '$ skipjack dead-letters replay 0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
  ]);
}

function filterable(command: Command): Command {
  return command
    .option('--queue <name>', 'only those of this queue')
    .option('--name <name>', 'only those of this name')
    .addOption(new Option('--reason <reason>', 'only those').choices(['failed', 'lost_too_often']))
    .addOption(serverOption())
    .addOption(outputOption());
}

function listCommand(): Command {
  const command = filterable(new Command('list'))
    .description('List dead letters that wait, newest first')
    .option('--replayed', 'those that were replayed instead')
    .addOption(limitOption())
    .action(list);
  return withExamples(command, [
    '$ skipjack dead-letters list',
    "$ skipjack dead-letters list --reason lost_too_often -o json | jq -r '.[].id'",
  ]);
}

async function list(flags: Filter & { limit: number; replayed?: boolean }): Promise<void> {
  const client = configuredClient(flags);
  const { queue, name, reason, limit, replayed = false } = flags;
  const letters = await readPages(limit, async (page) => {
    const { dead_letters: rows, next_cursor } = await client.listDeadLetters(
      { queue, name, reason, replayed },
      page,
    );
    return { rows, next_cursor };
  });
  await print(letters.rows, flags.output, () =>
    formatTable(letters.rows, [
      { title: 'ID', value: (letter) => letter.id },
      { title: 'REASON', value: (letter) => letter.reason },
      { title: 'QUEUE', value: (letter) => letter.queue },
      { title: 'NAME', value: (letter) => letter.name },
      { title: 'FAILED', value: (letter) => shortTime(letter.failed_at) },
      { title: 'ERROR', value: (letter) => letter.error?.message ?? '' },
    ]),
  );
  remarkMore(letters, flags);
}

function showCommand(): Command {
  const command = new Command('show')
    .description('Show a dead letter with every attempt')
    .argument('<id>', 'of its task')
    .addOption(serverOption())
    .addOption(outputOption())
    .action(show);
  return withExamples(command, ['$ skipjack dead-letters show 0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60 -o json']);
}

async function show(id: string, flags: Flags & { output: Format }): Promise<void> {
  const letter = await configuredClient(flags).getDeadLetter(id);
  await print(letter, flags.output, () => formatLetter(letter));
}

function formatLetter(letter: DeadLetter): string {
  const head = formatFields([
    ['id', letter.id],
    ['name', letter.name],
    ['queue', letter.queue],
    ['reason', letter.reason],
    ['error', letter.error && `${letter.error.code}: ${letter.error.message}`],
    ['failed', letter.failed_at],
    ['replayed', letter.replayed_at],
    ['input', letter.input],
  ]);
  const attempts = formatTable(letter.attempts, [
    { title: 'ATTEMPT', value: (each) => each.attempt },
    { title: 'OUTCOME', value: (each) => each.outcome },
    { title: 'EXIT', value: (each) => each.exit_code },
    { title: 'WORKER', value: (each) => each.worker },
    { title: 'STARTED', value: (each) => shortTime(each.started_at) },
    { title: 'ENDED', value: (each) => shortTime(each.ended_at) },
    { title: 'ERROR', value: (each) => each.error?.message ?? '' },
  ]);
  return `${head}\n\n${attempts}`;
}

function replayCommand(): Command {
  const command = filterable(new Command('replay'))
    .description(
      'Put a dead letter back on its queue with a new budget of attempts; or all that a filter finds',
    )
    .argument('[id]', 'of its task')
    .option('--all', 'every one that waits, or that the filter finds')
    .option('--dry-run', 'with --all: only say which')
    .action(replay);
  return withExamples(command, [
    '$ skipjack dead-letters replay 0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
    '$ skipjack dead-letters replay --all --queue mail --dry-run',
  ]);
}

async function replay(
  id: string | undefined,
  flags: Filter & { all?: boolean; dryRun?: boolean },
): Promise<void> {
  const client = configuredClient(flags);
  const { queue, name, reason, all = false, dryRun = false } = flags;
  if ((id === undefined) !== all) {
    throw usage(
      'Name one dead letter by the id of its task, or say --all. For example: dead-letters replay --all --queue mail',
    );
  }
  if (id !== undefined) {
    const task = await client.replayDeadLetter(id);
    await print(task, flags.output, () => `The task is ${task.state} again.`);
    return;
  }
  const ids = await client.replayDeadLetters({ queue, name, reason }, { dryRun });
  await print(ids, flags.output, () => ids.join('\n'));
  if (flags.output === 'text') remark(`${ids.length} ${dryRun ? 'would be' : 'were'} replayed.`);
}
