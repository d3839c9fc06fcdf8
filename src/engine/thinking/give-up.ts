/**
 * A row of the inbox that cannot be thought about: it throws, again and again, for a bug of ours or for data that
 * nothing can be done with. The third time ends what it is about, so that nothing waits for ever.
 */
import { crashPoint } from '../../core/crash-point.ts';
import type { Plan } from '../../core/plan.ts';
import { hasProcessEnded } from '../../core/process.ts';
import type { TaskError } from '../../core/task.ts';
import { type Database, inTransaction, type Transaction } from '../../database/connection.ts';
import { isConnectionFault } from '../../database/faults.ts';
import type { Hint } from '../../database/hints.ts';
import { activateCleanups } from '../../queue/processes/activate-cleanups.ts';
import { countThrow, dropThoughts } from '../../queue/processes/due-thoughts.ts';
import { type EngineEnd, endTasks } from '../../queue/processes/end-tasks.ts';
import { lockProcesses } from '../../queue/processes/lock.ts';
import { type ProcessStanding, readLiveTasks, readStandings } from '../../queue/processes/read-standing.ts';
import { noActs } from './acts.ts';
import type { Turn } from './context.ts';
import { finishFailed } from './finish.ts';
import { failProcesses, tellParent } from './stops.ts';

const throwsMax = 3;

/** Counts first, by itself: what ends the task may throw as well. Answers the hints to give. */
export async function giveUpOn(
  db: Database,
  {
    rowId,
    plans,
    error: thrown,
    onError,
  }: { rowId: string; plans: Map<string, Plan>; error: unknown; onError: (error: unknown) => void },
): Promise<Hint[]> {
  const row = await countThrow(db, rowId);
  crashPoint('engine_throw_counted');
  if (row === null || row.failures < throwsMax) return [];
  const error: TaskError = {
    code: 'engine_failed',
    message: `The engine could not think about it (${row.kind}): ${say(thrown)}`,
  };
  try {
    return await inTransaction(db, async (tx) => {
      await lockProcesses(tx, [row.process_id]);
      crashPoint('engine_given_up_locked');
      const [process] = await readStandings(tx, [row.process_id]);
      crashPoint('engine_given_up_read');
      if (!process) return [];
      if (hasProcessEnded(process.state))
        return row.kind === 'retry' ? await giveUpRetry(tx, process, rowId) : [];
      const { task_id: taskId, process_id: processId } = row;
      const dropped = await dropThoughts(tx, [rowId]);
      crashPoint('engine_given_up_dropped');
      // Another engine could meanwhile: what it has come to stays.
      if (dropped === 0) return [];
      const hints =
        row.kind === 'cleanup'
          ? await failCleanups(tx, processId, error)
          : taskId === null
            ? await endOrFail(tx, { process, plans, error })
            : await endTasks(tx, [{ taskId, processId, state: 'failed', error }]);
      crashPoint('engine_given_up');
      return hints;
    });
  } catch (again) {
    if (isConnectionFault(again)) throw again;
    onError(again);
    return [];
  }
}

/** It stays failed, and whoever wanted it retried hears that, as if it had failed again. */
async function giveUpRetry(tx: Transaction, process: ProcessStanding, rowId: string): Promise<Hint[]> {
  const dropped = await dropThoughts(tx, [rowId]);
  crashPoint('engine_retry_given_up');
  if (dropped === 0) return [];
  const turn: Turn = { ids: [process.id], plans: new Map(), only: null, endsAt: 0, waits: 0, hints: [] };
  await tellParent({ tx, turn }, process);
  return turn.hints;
}

/** Its process stops already; but nobody can say when the turn of its clean-ups has come. */
async function failCleanups(tx: Transaction, processId: string, error: TaskError): Promise<Hint[]> {
  const live = await readLiveTasks(tx, [processId]);
  crashPoint('engine_given_up_live_read');
  const ids = live
    .filter(({ state, spared, item_of }) => state === 'pending' && spared && item_of === null)
    .map(({ id }) => id);
  await activateCleanups(tx, ids);
  crashPoint('engine_given_up_cleanups_due');
  return endTasks(
    tx,
    ids.map((taskId): EngineEnd => ({ taskId, processId, state: 'failed', error })),
  );
}

async function endOrFail(
  tx: Transaction,
  { process, plans, error }: { process: ProcessStanding; plans: Map<string, Plan>; error: TaskError },
): Promise<Hint[]> {
  if (process.unfinished > 0) return (await failProcesses(tx, [{ processId: process.id, error }])).hints;
  const turn = { ids: [process.id], plans, only: null, endsAt: 0, waits: 0, hints: [] };
  const processes = new Map([[process.id, process]]);
  await finishFailed({ tx, turn, processes, acts: noActs() }, process, error);
  return turn.hints;
}

const saidLettersMax = 300;

function say(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message || thrown.name : String(thrown);
  return text.slice(0, saidLettersMax).replaceAll('\u0000', '\ufffd').toWellFormed();
}
