/** Tasks that wait for an event, and what comes first: the event, or the time it may take. */
import { withJitter } from '../../core/backoff.ts';
import { crashPoint } from '../../core/crash-point.ts';
import type { Json } from '../../core/json.ts';
import { putOffThoughts } from '../../queue/processes/due-thoughts.ts';
import {
  type EventName,
  giveUpWaits,
  readKeptEvents,
  readPayloads,
  takeEvents,
  tryLockEvents,
} from '../../queue/processes/event-waits.ts';
import { bulkyMax, type Round, type TaskThought } from './context.ts';

export interface EventWait extends EventName {
  row: TaskThought;
  timeoutMs: number | null;
}

/** After which a lock is tried again that was not free. */
const lockedMs = 100;

/** Under the locks of the events: one is found here, or finds who waits for it. */
export async function awaitEvents({ tx, turn, acts }: Round, waits: EventWait[]): Promise<void> {
  turn.waits += waits.length;
  const locked = await tryLockEvents(tx, waits);
  crashPoint('engine_events_locked');
  const free = waits.filter((wait) => locked.some((each) => isSame(each, wait)));
  const kept = free.length > 0 ? await readKeptEvents(tx, free) : [];
  if (free.length > 0) crashPoint('engine_events_looked_for');
  const taken = new Map<string, TaskThought>();
  for (const { row, name, key, timeoutMs } of free) {
    const { id, process_id: processId, task_id: taskId } = row;
    const event = kept.find((each) => isSame(each, { name, key }) && !taken.has(each.id));
    if (event) {
      // Each may have a megabyte: the rest in the next round.
      if (taken.size === bulkyMax) continue;
      taken.set(event.id, row);
      continue;
    }
    acts.done.push(id);
    acts.parks.push({ taskId, waitsFor: 'event' });
    acts.waits.push({ taskId, processId, name, key });
    if (timeoutMs !== null) acts.posts.push({ processId, taskId, kind: 'timer', delayMs: timeoutMs });
  }
  if (taken.size > 0) {
    const payloads = await takeEvents(tx, [...taken.keys()]);
    crashPoint('engine_events_taken');
    // Before the ends of others, of which one may stop the process: the event is taken.
    for (const [eventId, { id, process_id: processId, task_id: taskId }] of taken) {
      const payload = payloads.get(eventId);
      // It was pruned just now: the next round looks for another.
      if (payload === undefined) continue;
      acts.done.push(id);
      acts.ends.unshift({ taskId, processId, state: 'completed', output: payload });
    }
  }
  await putOff(
    { tx, acts },
    waits.filter((wait) => !free.includes(wait)).map(({ row }) => row),
  );
}

function isSame(one: EventName, other: EventName): boolean {
  return one.name === other.name && one.key === other.key;
}

/** The time has passed that they wait at most. */
export async function timeOutWaits({ tx, acts }: Round, rows: TaskThought[]): Promise<void> {
  const { givenUp, locked } = await giveUpWaits(
    tx,
    rows.map((row) => row.task_id),
  );
  // It is being sent its event, if that is not rolled back.
  await putOff(
    { tx, acts },
    rows.filter((row) => locked.has(row.task_id)),
  );
  for (const { id, process_id: processId, task_id: taskId } of rows) {
    if (locked.has(taskId)) continue;
    acts.done.push(id);
    if (!givenUp.has(taskId)) continue;
    const message = 'The event did not come in time.';
    acts.ends.push({ taskId, processId, state: 'failed', error: { code: 'event_timeout', message } });
  }
}

/** Their events have come. */
export async function takeUpEvents({ tx, acts }: Round, rows: TaskThought[]): Promise<void> {
  const payloads = await readPayloads(tx, rows.map(eventIdOf));
  crashPoint('engine_payloads_read');
  for (const row of rows) {
    const { id, process_id: processId, task_id: taskId } = row;
    acts.done.push(id);
    // Before the ends of others, too: whoever was stopped would wait for it in vain when it is retried.
    acts.ends.unshift({
      taskId,
      processId,
      state: 'completed',
      output: payloads.get(eventIdOf(row)) ?? null,
    });
  }
}

async function putOff({ tx, acts }: Pick<Round, 'tx' | 'acts'>, rows: TaskThought[]): Promise<void> {
  if (rows.length === 0) return;
  await putOffThoughts(
    tx,
    rows.map(({ id }) => id),
    withJitter(lockedMs),
  );
  crashPoint('engine_put_off');
  acts.putOff += rows.length;
}

function eventIdOf({ details }: { details: Json }): string {
  const { event_id: id } = details as { event_id: string };
  return id;
}
