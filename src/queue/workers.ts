/** The table of workers: who lives, where, and what it serves. */
import type { WorkerInfo } from '../core/task-source.ts';
import type { Database } from '../database/connection.ts';

/** A worker that has not been heard of for so long counts as gone. */
export const workerGoneAfterMs = 45_000;
/** And for so long, its row is deleted. */
const workerForgottenAfter = '1 day';

export interface WorkerView extends WorkerInfo {
  live: boolean;
  running: number;
  started_at: string;
  heartbeat_at: string;
}

/** A claim over HTTP speaks for its worker with pid 0; what the worker has said of itself stands. */
const keptColumns = ['host', 'pid', 'queues', 'slots', 'version']
  .map(
    (column) =>
      `${column} = case when excluded.pid = 0 and known.pid <> 0 then known.${column} else excluded.${column} end`,
  )
  .join(', ');

/** Says that these workers live. */
export async function announceWorkers(db: Database, workers: WorkerInfo[]): Promise<void> {
  // In the order of their ids: two replicas that announce the same ones must not wait for each other in a ring.
  await db.pool.query(
    `insert into skipjack.workers as known (id, host, pid, queues, slots, version, started_at, heartbeat_at)
     select id, host, pid, array(select jsonb_array_elements_text(queues)), slots, version, clock_timestamp(), clock_timestamp()
     from jsonb_to_recordset($1::jsonb) as worker (id text, host text, pid integer, queues jsonb, slots integer, version text)
     order by id
     on conflict (id) do update set ${keptColumns}, heartbeat_at = excluded.heartbeat_at`,
    [JSON.stringify(workers)],
  );
}

export async function removeWorker(db: Database, id: string): Promise<void> {
  await db.pool.query('delete from skipjack.workers where id = $1', [id]);
}

export async function forgetGoneWorkers(db: Database): Promise<void> {
  await db.pool.query('delete from skipjack.workers where heartbeat_at < clock_timestamp() - $1::interval', [
    workerForgottenAfter,
  ]);
}

export async function listWorkers(db: Database): Promise<WorkerView[]> {
  const { rows } = await db.pool.query<
    Omit<WorkerView, 'started_at' | 'heartbeat_at'> & { started_at: Date; heartbeat_at: Date }
  >(
    `select worker.id, worker.host, worker.pid, worker.queues, worker.slots, worker.version, worker.started_at,
       worker.heartbeat_at, worker.heartbeat_at > clock_timestamp() - $1 * interval '1 millisecond' as live,
       (select count(*)::integer from skipjack.queue_items as item
        where item.worker = worker.id and item.started_at is not null) as running
     from skipjack.workers as worker
     order by worker.id
     limit 1000`,
    [workerGoneAfterMs],
  );
  return rows.map((row) => ({
    ...row,
    started_at: row.started_at.toISOString(),
    heartbeat_at: row.heartbeat_at.toISOString(),
  }));
}
