/** Reading what was sent: kept events and taken ones, until they are pruned. */
import type { Json } from '../../core/json.ts';
import type { Database } from '../../database/connection.ts';

export interface EventSummary {
  id: string;
  name: string;
  /** Null: none. */
  key: string | null;
  /** How many waited when it came. */
  woken: number;
  created_at: string;
  /** When those who waited took it, or the first who came to wait; null: it is kept. */
  taken_at: string | null;
}

export interface EventView extends EventSummary {
  payload: Json;
}

export interface EventFilter {
  name?: string;
  /** Empty: those without a key. */
  key?: string;
}

/** Where a page ended: a time as Postgres writes it, and the id where times are equal. */
export interface EventPlace {
  createdAt: string;
  id: string;
}

interface Row {
  id: string;
  name: string;
  key: string;
  woken: number;
  created_at: Date;
  taken_at: Date | null;
  payload: Json;
  place: string;
}

const columns = `id, name, key, woken, created_at, taken_at`;

/** Newest first. `last` is where the page ended. */
export async function listEvents(
  db: Database,
  { name, key }: EventFilter,
  { limit, after }: { limit: number; after?: EventPlace },
): Promise<{ events: EventSummary[]; last: EventPlace | null }> {
  const conditions: string[] = [];
  const values: unknown[] = [];
  const where = (condition: (...places: string[]) => string, ...given: unknown[]) =>
    conditions.push(condition(...given.map((value) => `$${values.push(value)}`)));
  if (name !== undefined) where((place) => `name = ${place}`, name);
  if (key !== undefined) where((place) => `key = ${place}`, key);
  if (after)
    where((at, id) => `(created_at, id) < (${at}::timestamptz, ${id}::uuid)`, after.createdAt, after.id);
  const { rows } = await db.pool.query<Row>(
    `select ${columns}, created_at::text as place from skipjack.events
     ${conditions.length > 0 ? `where ${conditions.join(' and ')}` : ''}
     order by created_at desc, id desc limit ${Number(limit)}`,
    values,
  );
  const last = rows.at(-1);
  return { events: rows.map(toSummary), last: last ? { createdAt: last.place, id: last.id } : null };
}

export async function readEvent(db: Database, id: string): Promise<EventView | null> {
  const { rows } = await db.pool.query<Row>(`select ${columns}, payload from skipjack.events where id = $1`, [
    id,
  ]);
  return rows[0] ? { ...toSummary(rows[0]), payload: rows[0].payload } : null;
}

function toSummary(row: Row): EventSummary {
  return {
    id: row.id,
    name: row.name,
    key: row.key === '' ? null : row.key,
    woken: row.woken,
    created_at: row.created_at.toISOString(),
    taken_at: row.taken_at?.toISOString() ?? null,
  };
}
