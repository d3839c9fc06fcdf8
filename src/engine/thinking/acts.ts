/**
 * What a round has decided, done in an order in which nothing undoes what comes after: what starts and waits first,
 * ends last, for an end may stop its whole process.
 */
import { crashPoint } from '../../core/crash-point.ts';
import type { Parking } from '../../core/task.ts';
import type { Transaction } from '../../database/connection.ts';
import type { Hint } from '../../database/hints.ts';
import { dropThoughts } from '../../queue/processes/due-thoughts.ts';
import { type EngineEnd, endTasks } from '../../queue/processes/end-tasks.ts';
import { type EventName, waitForEvents } from '../../queue/processes/event-waits.ts';
import { type Each, expandItems, stopItems } from '../../queue/processes/expand.ts';
import { type NewThought, postThoughts } from '../../queue/processes/inbox.ts';
import { parkTasks, queueTasks } from '../../queue/processes/park.ts';

export interface Acts {
  /** Rows of the inbox that were thought about. */
  done: string[];
  /** How many could not be thought about just now, and come later. */
  putOff: number;
  parks: { taskId: string; waitsFor: Parking }[];
  posts: NewThought[];
  waits: (EventName & { taskId: string; processId: string })[];
  expansions: Each[];
  queued: { taskId: string; delayMs?: number; runAt?: string }[];
  ends: EngineEnd[];
  stoppedLists: { processId: string; ordinal: number }[];
}

export function noActs(): Acts {
  return {
    done: [],
    putOff: 0,
    parks: [],
    posts: [],
    waits: [],
    expansions: [],
    queued: [],
    ends: [],
    stoppedLists: [],
  };
}

/** Answers the hints for after the commit. */
export async function act(tx: Transaction, acts: Acts): Promise<Hint[]> {
  const hints: Hint[] = [];
  if (acts.done.length > 0) {
    await dropThoughts(tx, acts.done);
    crashPoint('engine_dropped');
  }
  if (acts.parks.length > 0) {
    await parkTasks(tx, acts.parks);
    crashPoint('engine_parked');
  }
  if (acts.waits.length > 0) {
    await waitForEvents(tx, acts.waits);
    crashPoint('engine_waits_begun');
  }
  if (acts.posts.length > 0) {
    await postThoughts(tx, acts.posts);
    crashPoint('engine_posted');
  }
  for (const each of acts.expansions) {
    hints.push(...(await expandItems(tx, each)));
    crashPoint('engine_expanded');
  }
  if (acts.queued.length > 0) {
    hints.push(...(await queueTasks(tx, acts.queued)));
    crashPoint('engine_queued');
  }
  if (acts.ends.length > 0) {
    hints.push(...(await endTasks(tx, acts.ends)));
    crashPoint('engine_ended');
  }
  for (const list of acts.stoppedLists) {
    hints.push(...(await stopItems(tx, list)));
    crashPoint('engine_items_stopped');
  }
  return hints;
}
