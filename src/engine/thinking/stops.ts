/** Processes that are to stop, or to go on, as a whole. */
import { crashPoint } from '../../core/crash-point.ts';
import { formatDuration } from '../../core/durations.ts';
import { hasProcessEnded } from '../../core/process.ts';
import type { TaskError } from '../../core/task.ts';
import type { Transaction } from '../../database/connection.ts';
import type { Hint } from '../../database/hints.ts';
import { activateCleanups } from '../../queue/processes/activate-cleanups.ts';
import type { DueThought } from '../../queue/processes/due-thoughts.ts';
import { recordEvent } from '../../queue/processes/events.ts';
import { engineLine, postThoughts } from '../../queue/processes/inbox.ts';
import { markCancelling } from '../../queue/processes/mark-cancelling.ts';
import { markFailing } from '../../queue/processes/mark-failing.ts';
import { type ProcessStanding, readLiveTasks } from '../../queue/processes/read-standing.ts';
import { retryLocking } from '../../queue/processes/retry.ts';
import { stopProcesses } from '../../queue/processes/stop.ts';
import { dueCleanups } from './cleanups.ts';
import { planOf, processOf, type Round } from './context.ts';

/** The process that started them is being cancelled, or the task that did was stopped. */
export async function cancelAsked({ tx, turn }: Round, rows: DueThought[]): Promise<void> {
  const ids = await markCancelling(tx, idsOf(rows));
  crashPoint('engine_marked_cancelling');
  for (const processId of ids) {
    await recordEvent(tx, { processId, event: 'cancel_requested' });
    crashPoint('engine_cancel_recorded');
  }
  if (ids.length > 0) {
    turn.hints.push(...(await stopProcesses(tx, { whole: ids })));
    crashPoint('engine_stopped');
  }
}

export async function passDeadlines(round: Round, rows: DueThought[]): Promise<void> {
  const { tx, turn } = round;
  const failures = idsOf(rows).map((processId) => {
    const { deadline_ms: ms } = planOf(round, processOf(round, { process_id: processId }));
    const message = `The process did not end within its deadline${ms === undefined ? '' : ` of ${formatDuration(ms)}`}.`;
    return { processId, error: { code: 'deadline_exceeded', message } };
  });
  const { ids, hints } = await failProcesses(tx, failures);
  turn.hints.push(...hints);
  for (const processId of ids) {
    await recordEvent(tx, { processId, event: 'deadline_exceeded' });
    crashPoint('engine_deadline_recorded');
  }
}

/** For reasons of their own, no task's. Answers which of them had not ended. */
export async function failProcesses(
  tx: Transaction,
  failures: { processId: string; error: TaskError }[],
): Promise<{ ids: string[]; hints: Hint[] }> {
  const ids = await markFailing(tx, failures);
  crashPoint('engine_marked_failing');
  const hints = ids.length > 0 ? await stopProcesses(tx, { whole: ids }) : [];
  if (ids.length > 0) crashPoint('engine_stopped');
  return { ids, hints };
}

/** The processes that started them are being retried. One that cannot be says so as if it had failed again. */
export async function retryAsked(round: Round, rows: DueThought[]): Promise<void> {
  const { tx, turn } = round;
  for (const processId of idsOf(rows)) {
    const { result, hints } = await retryLocking(tx, processId, { withParent: true });
    turn.hints.push(...hints);
    crashPoint('engine_child_retried');
    if (result.kind === 'retried') continue;
    const process = processOf(round, { process_id: processId });
    if (hasProcessEnded(process.state)) await tellParent(round, process);
  }
}

/** If a task of another process waits for it, that hears that it has ended. */
export async function tellParent(
  { tx, turn }: Pick<Round, 'tx' | 'turn'>,
  child: ProcessStanding,
): Promise<void> {
  const { parent_process_id: processId, parent_task_id: taskId, detached } = child;
  if (processId === null || taskId === null || detached) return;
  await postThoughts(tx, [{ processId, taskId, kind: 'child_ended', details: { process_id: child.id } }]);
  turn.hints.push({ lines: [engineLine] });
  crashPoint('engine_child_told');
}

/** After all that the round has ended: who is still to be waited for is read anew. */
export async function cleanUp(round: Round, rows: DueThought[]): Promise<void> {
  const { tx } = round;
  const ids = idsOf(rows);
  const live = await readLiveTasks(tx, ids);
  crashPoint('engine_live_read');
  const due = ids.flatMap((id) => {
    const own = live.filter(({ process_id }) => process_id === id);
    if (!own.some(({ spared }) => spared)) return [];
    return dueCleanups(own, planOf(round, processOf(round, { process_id: id })).tasks);
  });
  if (due.length === 0) return;
  await activateCleanups(tx, due);
  crashPoint('engine_cleanups_due');
}

function idsOf(rows: DueThought[]): string[] {
  return [...new Set(rows.map(({ process_id }) => process_id))];
}
