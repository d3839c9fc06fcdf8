import { Command, Option } from 'commander';
import type { Client } from '../../client/client.ts';
import type { Flags } from '../../config.ts';
import { processStates } from '../../core/process.ts';
import { visibleTaskStates } from '../../core/task.ts';
import { configuredClient } from '../client.ts';
import { outputOption, serverOption, usage, withExamples } from '../options.ts';
import { limitOption, readPages, remarkMore } from '../pages.ts';
import { type Format, print } from '../print.ts';
import { stateOf } from '../show-process.ts';
import { formatTable, shortTime } from '../table.ts';
import { listDefinitionsCommand } from './definitions.ts';

type TaskFilter = NonNullable<Parameters<Client['listTasks']>[0]>;
type ProcessFilter = NonNullable<Parameters<Client['listProcesses']>[0]>;

interface ListFlags extends Flags {
  limit: number;
  output: Format;
}

interface TaskFlags extends ListFlags, Omit<TaskFilter, 'processId'> {
  process?: string;
}

export function listCommand(): Command {
  const command = new Command('list')
    .description('List tasks, processes or definitions; tasks when it is not said what')
    .summary('list tasks, processes or definitions')
    .addCommand(tasksCommand(), { isDefault: true })
    .addCommand(processesCommand())
    .addCommand(listDefinitionsCommand('definitions'));
  return withExamples(command, [
    '$ skipjack list --state active --queue mail',
    '$ skipjack list processes --state failed',
    "$ skipjack list definitions -o json | jq -r '.[].name'",
  ]);
}

function tasksCommand(): Command {
  const command = new Command('tasks')
    .description('List tasks, newest first; those of one process in the order of its definition')
    .summary('list tasks, newest first')
    .addOption(
      new Option(
        '--state <state>',
        'only those in this state; active: scheduled, ready, running and waiting',
      ).choices(['active', ...visibleTaskStates]),
    )
    .option('--queue <name>', 'only those of this queue')
    .option('--name <name>', 'only those of this name')
    .option('--label <name[=value]>', 'only those with this label')
    .option('--process <id>', 'only those of this process')
    .option('--definition <name>', 'only those of processes of this definition')
    .option('--created-after <time>', 'as 2026-01-31T12:00:00Z')
    .option('--created-before <time>', 'as 2026-01-31T12:00:00Z')
    .addOption(limitOption())
    .addOption(serverOption())
    .addOption(outputOption())
    .allowExcessArguments()
    .action(listTasks);
  return withExamples(command, [
    '$ skipjack list --state active --queue mail',
    '$ skipjack list --process 0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
    "$ skipjack list --state failed --limit 1000 -o json | jq -r '.[].id'",
  ]);
}

async function listTasks(flags: TaskFlags, { args: [other] }: Command): Promise<void> {
  // "skipjack list" lists tasks: what it does not know would be an argument of that.
  if (other !== undefined)
    throw usage(
      `There is no list of "${other}": list tasks, processes or definitions. For example: skipjack list processes`,
    );
  const client = configuredClient(flags);
  const { state, queue, name, label, definition, process: processId, createdAfter, createdBefore } = flags;
  const filter = { state, queue, name, label, definition, createdAfter, createdBefore };
  const isFiltered = Object.values(filter).some((value) => value !== undefined);
  const tasks = await readPages(flags.limit, async (page) => {
    const { tasks: rows, next_cursor } =
      processId !== undefined && !isFiltered
        ? await client.listProcessTasks(processId, page)
        : await client.listTasks({ ...filter, processId }, page);
    return { rows, next_cursor };
  });
  await print(tasks.rows, flags.output, () =>
    formatTable(tasks.rows, [
      { title: 'ID', value: (task) => task.id },
      { title: 'STATE', value: (task) => task.state },
      { title: 'QUEUE', value: (task) => task.queue },
      { title: 'NAME', value: (task) => task.name },
      { title: 'ATTEMPT', value: (task) => `${task.attempt}/${task.attempts_max}` },
      { title: 'CREATED', value: (task) => shortTime(task.created_at) },
      { title: 'ERROR', value: (task) => task.error?.message ?? '' },
    ]),
  );
  remarkMore(tasks, flags);
}

function processesCommand(): Command {
  const command = new Command('processes')
    .description('List processes, newest first')
    .summary('list processes, newest first')
    .addOption(
      new Option(
        '--state <state>',
        'only those in this state; live: running, failing and cancelling',
      ).choices(['live', ...processStates]),
    )
    .option('--definition <name>', 'only those of this definition')
    .option('--parent <id>', 'only those that this process has started')
    .option('--created-after <time>', 'as 2026-01-31T12:00:00Z')
    .option('--created-before <time>', 'as 2026-01-31T12:00:00Z')
    .addOption(limitOption())
    .addOption(serverOption())
    .addOption(outputOption())
    .action(listProcesses);
  return withExamples(command, [
    '$ skipjack list processes --state live',
    "$ skipjack list processes --definition loan-application -o json | jq -r '.[].id'",
    '$ skipjack list processes --parent $PROCESS_ID',
  ]);
}

async function listProcesses(
  flags: ListFlags & Omit<ProcessFilter, 'parentProcessId'> & { parent?: string },
): Promise<void> {
  const client = configuredClient(flags);
  const { state, definition, parent: parentProcessId, createdAfter, createdBefore } = flags;
  const filter = { state, definition, parentProcessId, createdAfter, createdBefore };
  const processes = await readPages(flags.limit, async (page) => {
    const { processes: rows, next_cursor } = await client.listProcesses(filter, page);
    return { rows, next_cursor };
  });
  await print(processes.rows, flags.output, () =>
    formatTable(processes.rows, [
      { title: 'ID', value: (process) => process.id },
      { title: 'STATE', value: stateOf },
      { title: 'DEFINITION', value: (process) => process.definition },
      { title: 'VERSION', value: (process) => process.version },
      { title: 'ENDED', value: ({ tasks, unfinished }) => `${tasks - unfinished}/${tasks}` },
      { title: 'CREATED', value: (process) => shortTime(process.created_at) },
      { title: 'FINISHED', value: (process) => shortTime(process.finished_at) },
    ]),
  );
  remarkMore(processes, flags);
}
