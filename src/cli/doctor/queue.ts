import type { Database } from '../../database/connection.ts';
import { workerGoneAfterMs } from '../../queue/workers.ts';
import { type Check, note, ok, wrong } from './check.ts';

/** Expired leases are back within two seconds where anybody looks after them. */
const expiredFor = '15 seconds';
const waitingFor = '1 minute';

/** Claims that nobody took back: no server and no worker with this database runs, or its upkeep fails. */
export async function checkLeases(db: Database): Promise<Check[]> {
  const { rows } = await db.pool.query<{ count: number; oldest: string }>(
    `select count(*)::integer as count, min(lease_expires_at)::timestamptz(0)::text as oldest
     from skipjack.queue_items
     where worker is not null and lease_expires_at < clock_timestamp() - $1::interval`,
    [expiredFor],
  );
  const { count = 0, oldest = '' } = rows[0] ?? {};
  if (count === 0) return [ok('leases', 'no claim is overdue')];
  return [
    wrong(
      'leases',
      `${count} expired and not taken back, the oldest at ${oldest}. Run a server, or a worker over the database.`,
    ),
  ];
}

/** Work that waits on queues which no live worker serves. */
export async function checkServed(db: Database): Promise<Check[]> {
  const { rows } = await db.pool.query<{ queue: string; ready: number; runnable: boolean; paused: boolean }>(
    `select waiting.queue, waiting.ready,
       coalesce((select line.paused from skipjack.queues as line where line.name = waiting.queue), false) as paused,
       exists (
         select from skipjack.queue_items as item join skipjack.tasks as task on task.id = item.task_id
         where item.queue = waiting.queue and item.worker is null and task.spec is not null) as runnable
     from (
       select queue, count(*)::integer as ready
       from skipjack.queue_items
       where worker is null and available_at < clock_timestamp() - $1::interval
       group by queue
     ) as waiting
     where not exists (
       select from skipjack.workers as worker
       where waiting.queue = any (worker.queues)
         and worker.heartbeat_at > clock_timestamp() - $2 * interval '1 millisecond')
     order by waiting.queue
     limit 100`,
    [waitingFor, workerGoneAfterMs],
  );
  if (rows.length === 0) return [ok('queues', 'every queue on which work waits is served')];
  return rows.map(({ queue, ready, runnable, paused }) => {
    const waits = `"${queue}": ${ready} wait longer than ${waitingFor}`;
    if (paused) return note('queues', `${waits}; it is paused`);
    if (!runnable) return note('queues', `${waits} for somebody to claim them`);
    return wrong('queues', `${waits} and no worker serves it. Run: skipjack worker --queues ${queue}`);
  });
}
