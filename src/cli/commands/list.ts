import { Command, Option } from 'commander';
import type { Client } from '../../client/client.ts';
import type { TaskSummary } from '../../client/views.ts';
import type { Flags } from '../../config.ts';
import { visibleTaskStates } from '../../core/task.ts';
import { configuredClient } from '../client.ts';
import { outputOption, serverOption, wholeNumberArgument, withExamples } from '../options.ts';
import { type Format, print, remark } from '../print.ts';
import { formatTable, shortTime } from '../table.ts';

type Filter = NonNullable<Parameters<Client['listTasks']>[0]>;

interface ListFlags extends Flags {
  state?: Filter['state'];
  queue?: string;
  name?: string;
  label?: string;
  createdAfter?: string;
  createdBefore?: string;
  limit: number;
  output: Format;
}

export function listCommand(): Command {
  const command = new Command('list')
    .description('List tasks, newest first')
    .summary('list tasks')
    .addOption(
      new Option('--state <state>', 'only those in this state; active: scheduled, ready and running').choices(
        ['active', ...visibleTaskStates],
      ),
    )
    .option('--queue <name>', 'only those of this queue')
    .option('--name <name>', 'only those of this name')
    .option('--label <name[=value]>', 'only those with this label')
    .option('--created-after <time>', 'as 2026-01-31T12:00:00Z')
    .option('--created-before <time>', 'as 2026-01-31T12:00:00Z')
    .option('--limit <n>', 'at most so many', wholeNumberArgument('--limit', { min: 1, max: 100_000 }), 50)
    .addOption(serverOption())
    .addOption(outputOption())
    .action(list);
  return withExamples(command, [
    '$ skipjack list --state active --queue mail',
    "$ skipjack list --state failed --limit 1000 -o json | jq -r '.[].id'",
  ]);
}

async function list(flags: ListFlags): Promise<void> {
  const client = configuredClient(flags);
  const { state, queue, name, label, createdAfter, createdBefore, limit } = flags;
  const filter = { state, queue, name, label, createdAfter, createdBefore };
  const tasks: TaskSummary[] = [];
  let cursor: string | undefined;
  let more = true;
  while (more && tasks.length < limit) {
    const page = await client.listTasks(filter, { limit: Math.min(limit - tasks.length, 500), cursor });
    tasks.push(...page.tasks);
    cursor = page.next_cursor ?? undefined;
    more = cursor !== undefined;
  }
  await print(tasks, flags.output, () =>
    formatTable(tasks, [
      { title: 'ID', value: (task) => task.id },
      { title: 'STATE', value: (task) => task.state },
      { title: 'QUEUE', value: (task) => task.queue },
      { title: 'NAME', value: (task) => task.name },
      { title: 'ATTEMPT', value: (task) => `${task.attempt}/${task.attempts_max}` },
      { title: 'CREATED', value: (task) => shortTime(task.created_at) },
      { title: 'ERROR', value: (task) => task.error?.message ?? '' },
    ]),
  );
  if (more && flags.output === 'text') remark(`There are more; --limit ${limit} was reached.`);
}
