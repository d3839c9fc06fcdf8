/**
 * Retry: a failed process goes on from where it failed. Its failed and cancelled tasks run again with a new budget
 * of attempts and losses, and what follows from them is decided anew, clean-ups that ran included; their dead letters
 * are marked. What else has completed, failed under `continue_on_error` or was skipped, stays. Replaying the dead
 * letter of one of its tasks is this.
 *
 * A process that a task waits for is retried with the process of that task, from the top: the task would hear
 * nothing of it otherwise. That of an item which has to wait for its turn goes on when the turn has come. One for
 * which `on_failure` started another is over: what it had done was put right.
 *
 * Claim numbers go on from where they were, so that no token of the earlier life fits the new one. Under the
 * lock: of two at once one wins, the other finds the process running.
 */
import { crashPoint } from '../../core/crash-point.ts';
import type { Json } from '../../core/json.ts';
import { type Database, inTransaction, type Transaction } from '../../database/connection.ts';
import type { Hint } from '../../database/hints.ts';
import { recordEvent } from './events.ts';
import { lockProcess, type MoveOptions, requireRevision } from './lock.ts';
import { changeInputs, findChanges, type InputProblem } from './retry-inputs.ts';
import { readFailed, reviveProcess } from './revive.ts';

export type RetryProcessResult =
  | { kind: 'retried'; tasks: string[] }
  | { kind: 'not_failed'; state: string }
  /** A task waits for it, or waits for its end alone: the process to retry is the one at the top. */
  | { kind: 'has_parent'; rootId: string }
  /** Its `on_failure` has started this one. */
  | { kind: 'compensated'; failureProcessId: string }
  | { kind: 'invalid_inputs'; problems: InputProblem[] }
  | { kind: 'not_found' };

export interface RetryOptions extends MoveOptions {
  /** What failed tasks get in place of the input of the definition, by their names; also in later tries. */
  inputs?: Record<string, Json> | undefined;
  /** The engine, at a thought `retry`: its parent is being retried. */
  withParent?: boolean;
}

export async function retryProcess(
  db: Database,
  id: string,
  options: RetryOptions = {},
): Promise<RetryProcessResult> {
  const { result, hints } = await inTransaction(db, (tx) => retryLocking(tx, id, options));
  crashPoint('retry_committed');
  for (const hint of hints) db.hints.announce(hint);
  return result;
}

/** In a transaction of the caller's that has locked no item and no later process yet. The hints are for after it. */
export async function retryLocking(
  tx: Transaction,
  id: string,
  options: RetryOptions = {},
): Promise<{ result: RetryProcessResult; hints: Hint[] }> {
  const refused = (result: RetryProcessResult) => ({ result, hints: [] });
  const process = await lockProcess(tx, id);
  if (!process) return refused({ kind: 'not_found' });
  requireRevision(process, options);
  if (process.state !== 'failed') return refused({ kind: 'not_failed', state: process.state });
  const ties = await readTies(tx, id);
  crashPoint('retry_ties_read');
  if (ties.root_id !== id && !(options.withParent && ties.goes_on))
    return refused({ kind: 'has_parent', rootId: ties.root_id });
  if (ties.failure_process_id !== null)
    return refused({ kind: 'compensated', failureProcessId: ties.failure_process_id });

  const inputs = Object.entries(options.inputs ?? {});
  const { changes, problems } =
    inputs.length > 0 ? await findChanges(tx, id, inputs) : { changes: [], problems: [] };
  if (inputs.length > 0) crashPoint('retry_inputs_read');
  if (problems.length > 0) return refused({ kind: 'invalid_inputs', problems });

  const failed = await readFailed(tx, id);
  crashPoint('retry_failed_read');
  await recordEvent(tx, {
    processId: id,
    event: 'retried',
    by: options.by,
    details: {
      failed: failed.slice(0, 100),
      failed_at: process.finished_at,
      ...(inputs.length > 0 ? { inputs: inputs.map(([name]) => name).slice(0, 100) } : {}),
    },
  });
  crashPoint('retry_recorded');
  const { lines } = await reviveProcess(tx, id);
  if (changes.length > 0) {
    await changeInputs(tx, changes);
    crashPoint('retry_inputs_changed');
  }
  return { result: { kind: 'retried', tasks: failed }, hints: [{ lines, putBack: true }] };
}

interface Ties {
  /** Who is at the top of those that wait for it, itself if nobody does. An ancestor that was deleted waits no more. */
  root_id: string;
  /** Its parent waits for more than its end. One that is stopped later than this tells it to cancel. */
  goes_on: boolean;
  failure_process_id: string | null;
}

async function readTies(tx: Transaction, id: string): Promise<Ties> {
  const { rows } = await tx.query<Ties>(
    `with recursive chain as (
       select id, case when not detached then parent_process_id end as parent_id, 0 as height
       from skipjack.processes where id = $1
       union all
       select parent.id, case when not parent.detached then parent.parent_process_id end, chain.height + 1
       from chain
       cross join lateral (select * from skipjack.processes where id = chain.parent_id limit 1) as parent
     )
     select (select id from chain order by height desc limit 1) as root_id,
       exists (
         select
         from skipjack.processes as child
         cross join lateral (select * from skipjack.tasks where id = child.parent_task_id limit 1) as task
         cross join lateral (select * from skipjack.processes where id = task.process_id limit 1) as parent
         where child.id = $1 and task.waits_for = 'process' and case parent.state
           when 'cancelling' then task.runs_on_cancel
           when 'failing' then task.runs_on_failure or not parent.fail_fast
           else true end
       ) as goes_on,
       (select failure_process_id from skipjack.process_results where process_id = $1) as failure_process_id`,
    [id],
  );
  return rows[0] ?? { root_id: id, goes_on: false, failure_process_id: null };
}
