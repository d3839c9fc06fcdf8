/**
 * A person or a service ends an active task of a process by its name (or ordinal): no claim, no token, no retry.
 *
 * Under the lock of the process the task is claimed for whoever asks and settled at once, by the same statement
 * as every outcome. Somebody else's claim is not touched: that is a refusal with the holder's name. The same call
 * again answers the same: it is told by its outcome, its words, and who said them.
 */
import { isDeepStrictEqual } from 'node:util';
import { crashPoint } from '../../core/crash-point.ts';
import type { Json } from '../../core/json.ts';
import type { Parking, TaskError } from '../../core/task.ts';
import { type Database, inTransaction, type Transaction } from '../../database/connection.ts';
import type { Hint } from '../../database/hints.ts';
import { type Awaiting, awaitingOf } from '../parking.ts';
import { settleLocked, toSettled } from '../settle.ts';
import { announceSettled, type Settled } from '../settled.ts';
import { recordEvent } from './events.ts';
import { lockProcess, type MoveOptions, needsEngine, requireRevision } from './lock.ts';

export type NamedOutcome = { kind: 'completed'; output: Json } | { kind: 'failed'; error: TaskError };

export type EndByNameResult =
  | { kind: 'ended'; taskId: string; repeated: boolean }
  | { kind: 'already_settled'; taskId: string; state: string }
  | { kind: 'already_claimed'; taskId: string; worker: string; leaseExpiresAt: string }
  /** Its needs have not ended; none: it is an item whose turn has not come. */
  | { kind: 'pending'; taskId: string; needs: string[] }
  /** It is parked: what it waits for ends it, or makes it ready. */
  | { kind: 'waiting'; taskId: string; waitsFor: Parking; awaiting: Awaiting | null }
  | { kind: 'no_such_task'; names: string[] }
  | { kind: 'not_found' };

/** Whom the record names when nobody said who they are. */
const somebody = 'somebody, by name';

interface NamedTask {
  id: string;
  ordinal: number;
  state: string;
  waits_for: Parking | null;
  worker: string | null;
  output: Json;
  error: TaskError | null;
}

export async function endTaskByName(
  db: Database,
  processId: string,
  name: string,
  outcome: NamedOutcome,
  options: MoveOptions = {},
): Promise<EndByNameResult> {
  let hints: Hint[] = [];
  let announced: Settled[] = [];
  const result = await inTransaction(db, async (tx): Promise<EndByNameResult> => {
    const process = await lockProcess(tx, processId);
    if (!process) return { kind: 'not_found' };
    const task = await findTask(tx, processId, name);
    crashPoint('named_found');
    if (!task) return { kind: 'no_such_task', names: await nearestNames(tx, processId) };
    const taskId = task.id;
    const worker = options.by ?? somebody;
    if (wasEndedSo(task, outcome, worker)) return { kind: 'ended', taskId, repeated: true };
    requireRevision(process, options);
    if (task.state === 'pending')
      return { kind: 'pending', taskId, needs: await unmetNeeds(tx, processId, task) };
    if (task.state !== 'active') return { kind: 'already_settled', taskId, state: task.state };
    if (task.waits_for !== null) {
      return { kind: 'waiting', taskId, waitsFor: task.waits_for, awaiting: await readAwaiting(tx, taskId) };
    }

    const claimed = await claimFor(tx, taskId, worker);
    crashPoint('named_claimed');
    if (claimed.kind !== 'claimed') return { ...claimed, taskId };
    await recordEvent(tx, {
      processId,
      event: outcome.kind === 'completed' ? 'completed_by_name' : 'failed_by_name',
      taskId,
      by: options.by,
    });
    crashPoint('named_recorded');
    const settled = await settleLocked(
      tx,
      [
        {
          ...outcome,
          taskId,
          processId: process.id,
          claimNo: claimed.claimNo,
          ...(outcome.kind === 'failed' ? { retry: false } : {}),
        },
      ],
      { withEngine: needsEngine(process) },
    );
    if (settled.settled[0]?.state !== outcome.kind)
      throw new Error(`task ${taskId} was to be ${outcome.kind}, and is ${settled.settled[0]?.state}`);
    hints = settled.hints;
    announced = settled.settled.map(toSettled);
    return { kind: 'ended', taskId, repeated: false };
  });
  crashPoint('named_committed');
  for (const hint of hints) db.hints.announce(hint);
  announceSettled(db, announced);
  return result;
}

async function findTask(tx: Transaction, processId: string, name: string): Promise<NamedTask | null> {
  const ordinal = /^[1-9]\d{0,8}$/.test(name) ? Number(name) : null;
  const { rows } = await tx.query<NamedTask>(
    `select id, ordinal, state, waits_for, worker, output, error from skipjack.tasks
     where process_id = $1 and (name = $2 or ordinal = $3) order by name = $2 desc limit 1`,
    [processId, name, ordinal],
  );
  return rows[0] ?? null;
}

function wasEndedSo(task: NamedTask, outcome: NamedOutcome, worker: string): boolean {
  if (task.state !== outcome.kind || task.worker !== worker) return false;
  const [stored, said] =
    outcome.kind === 'completed' ? [task.output, outcome.output] : [task.error, outcome.error];
  // As it would have been stored: JSON knows neither -0 nor undefined.
  return isDeepStrictEqual(stored, JSON.parse(JSON.stringify(said ?? null)));
}

/** As any claim would: the item is locked first, then judged as it is. */
async function claimFor(
  tx: Transaction,
  taskId: string,
  worker: string,
): Promise<
  { kind: 'claimed'; claimNo: number } | { kind: 'already_claimed'; worker: string; leaseExpiresAt: string }
> {
  await tx.query('select from skipjack.queue_items where task_id = $1 for update', [taskId]);
  crashPoint('named_locked');
  const { rows } = await tx.query<{ claim_no: number }>(
    `update skipjack.queue_items as item set
       claim_no = item.claim_no + 1, worker = $2, claimed_at = clock.at, started_at = clock.at,
       lease_expires_at = clock.at + interval '1 minute'
     from (select clock_timestamp() as at) as clock
     where item.task_id = $1 and item.worker is null
     returning item.claim_no`,
    [taskId, worker],
  );
  if (rows[0]) return { kind: 'claimed', claimNo: rows[0].claim_no };
  const held = await tx.query<{ worker: string; lease_expires_at: Date }>(
    'select worker, lease_expires_at from skipjack.queue_items where task_id = $1',
    [taskId],
  );
  return {
    kind: 'already_claimed',
    worker: held.rows[0]?.worker ?? '',
    leaseExpiresAt: held.rows[0]?.lease_expires_at.toISOString() ?? '',
  };
}

async function readAwaiting(tx: Transaction, taskId: string): Promise<Awaiting | null> {
  const { rows } = await tx.query<{ awaiting: Awaiting | null }>(
    `select ${awaitingOf('task')} as awaiting from skipjack.tasks as task where task.id = $1`,
    [taskId],
  );
  return rows[0]?.awaiting ?? null;
}

/** Names of needs that have not ended, for the sentence that says what it waits for. */
async function unmetNeeds(tx: Transaction, processId: string, { ordinal }: NamedTask): Promise<string[]> {
  const { rows } = await tx.query<{ name: string }>(
    `select name from skipjack.tasks
     where process_id = $1 and $2 = any (dependents) and state in ('pending', 'active') order by ordinal limit 5`,
    [processId, ordinal],
  );
  return rows.map((row) => row.name);
}

/** Some of the names there are, active ones first. */
async function nearestNames(tx: Transaction, processId: string): Promise<string[]> {
  const { rows } = await tx.query<{ name: string }>(
    `select name from skipjack.tasks where process_id = $1 order by state = 'active' desc, ordinal limit 10`,
    [processId],
  );
  return rows.map((row) => row.name);
}
