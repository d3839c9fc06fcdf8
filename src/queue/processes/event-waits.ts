/**
 * Tasks that wait for events, as an engine sees them. Who sends an event takes the same advisory lock, so that it is
 * either found here or finds who waits for it.
 *
 * A lock that is not free is not waited for: a stranger's open transaction may hold it, and we hold processes.
 */
import { crashPoint } from '../../core/crash-point.ts';
import type { Json } from '../../core/json.ts';
import type { Transaction } from '../../database/connection.ts';

export interface EventName {
  name: string;
  /** Empty: none. */
  key: string;
}

/** Those of them whose locks were free, locked to the end of the transaction. */
export async function tryLockEvents(tx: Transaction, events: EventName[]): Promise<EventName[]> {
  const { rows } = await tx.query<EventName & { locked: boolean }>(
    `select name, key, pg_try_advisory_xact_lock(skipjack.event_lock(name, key)) as locked
     from (select distinct name, key from unnest($1::text[], $2::text[]) as event (name, key) offset 0) as event`,
    columnsOf(events),
  );
  return rows.filter(({ locked }) => locked);
}

/** What was sent before anybody waited for it; the oldest of each first. */
export async function readKeptEvents(
  tx: Transaction,
  events: EventName[],
): Promise<(EventName & { id: string })[]> {
  // Each task takes one, so that no more are wanted of a name than it is named.
  const { rows } = await tx.query<EventName & { id: string }>(
    `select event.id, event.name, event.key
     from (
       select name, key, count(*) as wanted from unnest($1::text[], $2::text[]) as event (name, key) group by name, key
     ) as asked
     cross join lateral (
       select id, name, key from skipjack.events
       where name = asked.name and key = asked.key and taken_at is null
       order by id
       limit asked.wanted
     ) as event
     order by event.id`,
    columnsOf(events),
  );
  return rows;
}

/** Answers their payloads by their ids. */
export async function takeEvents(tx: Transaction, ids: string[]): Promise<Map<string, Json>> {
  const { rows } = await tx.query<{ id: string; payload: Json }>(
    'update skipjack.events set taken_at = clock_timestamp() where id = any ($1::uuid[]) returning id, payload',
    [ids],
  );
  return new Map(rows.map(({ id, payload }) => [id, payload]));
}

export async function waitForEvents(
  tx: Transaction,
  waits: (EventName & { taskId: string; processId: string })[],
): Promise<void> {
  await tx.query(
    `insert into skipjack.event_waits (task_id, process_id, name, key)
     select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[])`,
    [waits.map(({ taskId }) => taskId), waits.map(({ processId }) => processId), ...columnsOf(waits)],
  );
}

/**
 * Ends their waits. Answers for whom it did, and whom somebody sends their event just now; the others' event has come,
 * and its word lies in the inbox.
 */
export async function giveUpWaits(
  tx: Transaction,
  taskIds: string[],
): Promise<{ givenUp: Set<string>; locked: Set<string> }> {
  const { rows } = await tx.query<{ task_id: string }>(
    `delete from skipjack.event_waits
     where task_id = any (array(
       select task_id from skipjack.event_waits where task_id = any ($1::uuid[]) order by task_id for update skip locked))
     returning task_id`,
    [taskIds],
  );
  crashPoint('engine_waits_given_up');
  const left = await tx.query<{ task_id: string }>(
    'select task_id from skipjack.event_waits where task_id = any ($1::uuid[])',
    [taskIds],
  );
  crashPoint('engine_waits_left_read');
  const toSet = (found: { task_id: string }[]) => new Set(found.map((row) => row.task_id));
  return { givenUp: toSet(rows), locked: toSet(left.rows) };
}

export async function readPayloads(tx: Transaction, eventIds: string[]): Promise<Map<string, Json>> {
  const { rows } = await tx.query<{ id: string; payload: Json }>(
    'select id, payload from skipjack.events where id = any ($1::uuid[])',
    [eventIds],
  );
  return new Map(rows.map((row) => [row.id, row.payload]));
}

function columnsOf(events: EventName[]): [string[], string[]] {
  return [events.map(({ name }) => name), events.map(({ key }) => key)];
}
