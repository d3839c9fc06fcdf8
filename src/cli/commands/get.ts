import { Command } from 'commander';
import type { Client } from '../../client/client.ts';
import type { Process, TaskSummary, TaskWithAttempts } from '../../client/views.ts';
import type { Flags } from '../../config.ts';
import { configuredClient } from '../client.ts';
import { outputOption, serverOption, waitOption, withExamples } from '../options.ts';
import { type Format, print } from '../print.ts';
import { formatProcess } from '../show-process.ts';
import { exitCodeOf, formatTask, remarkEnd } from '../show-task.ts';
import { askBoth } from '../task-or-process.ts';

/** Of a process, tasks shown with what they wait for. */
const activeShownMax = 10;

export function getCommand(): Command {
  const command = new Command('get')
    .description(
      'Show a task: its state, attempts, output and error; or a process: its progress, what it waits for, its output',
    )
    .summary('show a task or a process')
    .argument('<id>', 'of a task or a process')
    .addOption(waitOption('wait so long for its end; the exit code then says how it ended'))
    .addOption(serverOption())
    .addOption(outputOption())
    .action(get);
  command.addHelpText(
    'after',
    '\nWith --wait the exit code is 0 completed, 8 failed, 9 cancelled, 124 not ended.',
  );
  return withExamples(command, [
    '$ skipjack get 0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
    '$ skipjack get $PROCESS_ID --wait 1m -o json | jq .output',
  ]);
}

async function get(id: string, flags: Flags & { wait?: number; output: Format }): Promise<void> {
  const client = configuredClient(flags);
  const { wait: waitMs } = flags;
  const [task, process] = await askBoth(
    id,
    async () =>
      [await (waitMs === undefined ? client.getTask(id) : client.waitForTask(id, { waitMs }))] as const,
    async () =>
      [
        null,
        await (waitMs === undefined ? client.getProcess(id) : client.waitForProcess(id, { waitMs })),
      ] as const,
  );
  if (task === null) await showProcess(client, process, flags);
  else await showTask(task, flags);
}

async function showTask(
  task: TaskWithAttempts,
  { wait, output }: { wait?: number; output: Format },
): Promise<void> {
  await print(task, output, () => formatTask(task));
  if (wait === undefined) return;
  remarkEnd('task', task, wait);
  process.exitCode = exitCodeOf(task);
}

/** Prints it; after a wait says on stderr and by the exit code how it ended. */
export async function showProcess(
  client: Client,
  view: Process,
  { wait, output }: { wait?: number; output: Format },
): Promise<void> {
  const active = output === 'json' || view.finished_at !== null ? [] : await readActive(client, view);
  await print(view, output, () => formatProcess(view, active));
  if (wait === undefined) return;
  const { last_error } = view;
  const error =
    view.error ?? (last_error && { ...last_error, message: `"${last_error.task}": ${last_error.message}` });
  remarkEnd('process', { ...view, error }, wait);
  process.exitCode = exitCodeOf(view);
}

/** One by one, for lists do not say what a task waits for. */
async function readActive(client: Client, { id }: Process): Promise<TaskWithAttempts[]> {
  // Those that wait for their items are the oldest of the active ones, behind all of those.
  const lists = await Promise.all(
    (['waiting', 'active'] as const).map((state) =>
      client.listTasks({ processId: id, state }, { limit: activeShownMax }),
    ),
  );
  const found = new Map(lists.flatMap(({ tasks }) => tasks.map((task) => [task.id, task] as const)));
  const shown = [...found.values()].toSorted(byPlace).slice(0, activeShownMax);
  const read = await Promise.all(shown.map((task) => client.getTask(task.id)));
  return read.filter((task) => task.finished_at === null);
}

function byPlace(one: TaskSummary, other: TaskSummary): number {
  return (one.ordinal ?? 0) - (other.ordinal ?? 0);
}
