/** What the operations pages and the metrics show: queues, and the engine's pulse in numbers. */
import type { Database } from '../database/connection.ts';
import { workerGoneAfterMs } from './workers.ts';

export interface QueueView {
  name: string;
  paused: boolean;
  ready: number;
  scheduled: number;
  running: number;
  /** Of paused processes. */
  held: number;
  oldest_ready_at: string | null;
}

/** Every queue that has live tasks, is paused or is served. */
export async function listQueues(db: Database): Promise<QueueView[]> {
  const { rows } = await db.pool.query<Omit<QueueView, 'oldest_ready_at'> & { oldest_ready_at: Date | null }>(
    `select named.name, coalesce(line.paused, false) as paused, coalesce(depth.ready, 0)::float8 as ready,
       coalesce(depth.scheduled, 0)::float8 as scheduled, coalesce(depth.running, 0)::float8 as running,
       coalesce(depth.held, 0)::float8 as held, depth.oldest_ready_at
     from (
       select queue as name from skipjack.queue_depth
       union select name from skipjack.queues
       union select unnest(queues) from skipjack.workers where heartbeat_at > clock_timestamp() - $1 * interval '1 millisecond'
     ) as named
     left join skipjack.queue_depth as depth on depth.queue = named.name
     left join skipjack.queues as line on line.name = named.name
     order by named.name
     limit 1000`,
    [workerGoneAfterMs],
  );
  return rows.map((row) => ({ ...row, oldest_ready_at: row.oldest_ready_at?.toISOString() ?? null }));
}

export interface Stats {
  tasks: {
    scheduled: number;
    ready: number;
    running: number;
    /** Parked: for an engine, their items, a process, a time, an event. */
    waiting: number;
    completed: number;
    failed: number;
    cancelled: number;
    skipped: number;
  };
  oldest_ready_at: string | null;
  dead_letters: {
    /** Not replayed. */
    waiting: number;
    last_hour: number;
  };
  workers: { live: number; slots: number };
}

/** Counts of what is on queues are cheap; those of what waits or has ended read the whole record. */
export async function readStats(db: Database): Promise<Stats> {
  const { rows } = await db.pool.query<{
    live: LiveRow;
    recorded: Stats['tasks'];
    letters: Stats['dead_letters'];
    workers: Stats['workers'];
  }>(
    `select
       (select jsonb_build_object('ready', coalesce(sum(ready), 0), 'scheduled', coalesce(sum(scheduled), 0),
          'running', coalesce(sum(running), 0), 'oldest_ready_at', min(oldest_ready_at)) from skipjack.queue_depth) as live,
       (select jsonb_build_object('waiting', count(*) filter (where waits_for is not null),
          'completed', count(*) filter (where state = 'completed'), 'failed', count(*) filter (where state = 'failed'),
          'cancelled', count(*) filter (where state = 'cancelled'),
          'skipped', count(*) filter (where state = 'skipped')) from skipjack.tasks) as recorded,
       (select jsonb_build_object('waiting', count(*) filter (where replayed_at is null),
          'last_hour', count(*) filter (where failed_at > clock_timestamp() - interval '1 hour')) from skipjack.dead_letters) as letters,
       (select jsonb_build_object('live', count(*), 'slots', coalesce(sum(slots), 0)) from skipjack.workers
        where heartbeat_at > clock_timestamp() - $1 * interval '1 millisecond') as workers`,
    [workerGoneAfterMs],
  );
  const row = rows[0];
  if (!row) throw new Error('a select without from answers one row');
  const { oldest_ready_at, ...live } = row.live;
  return {
    tasks: { ...live, ...row.recorded },
    oldest_ready_at: oldest_ready_at === null ? null : new Date(oldest_ready_at).toISOString(),
    dead_letters: row.letters,
    workers: row.workers,
  };
}

interface LiveRow {
  ready: number;
  scheduled: number;
  running: number;
  oldest_ready_at: string | null;
}

/** The live state in numbers, for metrics. */
export interface LiveFigures {
  queues: QueueFigures[];
  workers: number;
  slots: { busy: number; all: number };
  /** Counted up to `lettersCountedMax`. */
  deadLettersWaiting: number;
}

export interface QueueFigures {
  /** Null: all the queues together that have no place of their own. */
  name: string | null;
  ready: number;
  scheduled: number;
  running: number;
  held: number;
  /** 0 when nothing is ready. */
  oldestReadyAgeMs: number;
}

export const lettersCountedMax = 100_000;

interface LiveSelection {
  /** Queues that come by name before others. */
  known: string[];
  queuesMax: number;
}

/**
 * Reads live tables alone, never the record: what it costs grows with what waits and runs, not with what has been.
 * At most `queuesMax` queues come by name.
 */
export async function readLiveFigures(db: Database, selection: LiveSelection): Promise<LiveFigures> {
  const { text, values } = liveFiguresStatement(selection);
  const { rows } = await db.pool.query<{
    queues: QueueFigures[] | null;
    workers: number;
    slots: number;
    busy: number;
    letters: number;
  }>(text, values);
  const row = rows[0];
  if (!row) throw new Error('a select without from answers one row');
  return {
    queues: row.queues ?? [],
    workers: row.workers,
    slots: { busy: row.busy, all: row.slots },
    deadLettersWaiting: row.letters,
  };
}

/** Exported for the test that reads its plan. */
export function liveFiguresStatement({ known, queuesMax }: LiveSelection): {
  text: string;
  values: unknown[];
} {
  const text = `
with ranked as (
  select depth.*, row_number() over (order by queue = any ($2::text[]) desc, queue) as place
  from skipjack.queue_depth as depth
), folded as (
  select case when place <= $3 then queue end as name, sum(ready) as ready, sum(scheduled) as scheduled,
    sum(running) as running, sum(held) as held, min(oldest_ready_at) as oldest_ready_at
  from ranked
  group by 1
), live as materialized (
  select id, slots from skipjack.workers where heartbeat_at > clock_timestamp() - $1 * interval '1 millisecond'
)
select
  (select jsonb_agg(jsonb_build_object('name', name, 'ready', ready, 'scheduled', scheduled, 'running', running,
     'held', held, 'oldestReadyAgeMs', coalesce(greatest(0,
       extract(epoch from clock_timestamp() - oldest_ready_at) * 1000), 0))) from folded) as queues,
  (select count(*)::integer from live) as workers,
  (select coalesce(sum(slots), 0)::float8 from live) as slots,
  -- What people have claimed takes no slot.
  (select count(*)::integer from skipjack.queue_items as item
   where item.worker is not null and item.started_at is not null
     and item.worker in (select id from live where slots > 0)) as busy,
  (select count(*)::integer from (
     select from skipjack.dead_letters where replayed_at is null limit ${lettersCountedMax}) as waiting) as letters`;
  return { text, values: [workerGoneAfterMs, known, queuesMax] };
}
