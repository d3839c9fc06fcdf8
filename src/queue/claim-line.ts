/**
 * Everybody in this OS process who waits for work from the same queues stands in one line.
 *
 * One claim serves all of them, first come, first served, so one hint costs one query however many wait. The
 * loop is level-triggered: a hint sets a flag, cleared before each claim. It looks again at once while claims
 * come back full, else on a hint, when the next item is due, or after the poll interval, whichever is first:
 * hints may be lost, polling is the promise.
 *
 * It remembers for a moment which lines there are and how far each was taken (see claim-statement.ts). That memory is
 * dropped after two seconds, when a claim comes back short, when work was put back to its old place, and when
 * a hint names a line that is not in it.
 */
import { withJitter } from '../core/backoff.ts';
import type { ClaimFilter } from '../core/task-source.ts';
import type { Database } from '../database/connection.ts';
import type { Hint } from '../database/hints.ts';
import { type ClaimPart, claimTasks } from './claim.ts';
import type { Line } from './claim-statement.ts';
import type { TakenTask } from './claimed-task.ts';

const memoryMs = 2_000;
/** How far below the last item taken a floor stays: a transaction that enqueued a little earlier may commit a little later. */
const floorSlackUs = 500_000;
/** When a due item was locked: the first pause before the next look, doubled five times at most. */
const passedOverPauseMs = 20;
const tasksPerClaimMax = 1_000;
const partsPerClaimMax = 200;

export interface ClaimLine {
  /** Resolves with tasks, or with none when `waitMs` is over or `signal` is aborted. */
  claim(part: ClaimPart, wait: { waitMs: number; signal?: AbortSignal | undefined }): Promise<TakenTask[]>;
  onHint(hint: Hint | null): void;
  readonly waiting: number;
  /** Everybody goes; what a claim under way takes is still handed out. */
  close(): Promise<void>;
}

interface Waiter {
  /** Its claim is under way: only the answer can say what it got. */
  claiming: boolean;
  /** Its caller has called off. */
  gone: boolean;
  part: ClaimPart;
  until: number;
  resolve: (tasks: TakenTask[]) => void;
  reject: (error: unknown) => void;
}

export function createClaimLine(
  db: Database,
  selection: { queues: string[]; filter?: ClaimFilter },
  { pollIntervalMs = 5_000 }: { pollIntervalMs?: number } = {},
): ClaimLine {
  const queues = new Set(selection.queues);
  let waiters: Waiter[] = [];
  let looking: Promise<void> | null = null;
  let lookAgain = false;
  /** Hints that dropped the memory; how often in a row a due item was locked. */
  let hints = 0;
  let locked = 0;
  let closed = false;
  let timer: NodeJS.Timeout | null = null;
  let lookAt = 0;
  let rotation = 0;
  let memory: { lines: Map<string, Line>; until: number } | null = null;

  function leave(waiter: Waiter) {
    waiters = waiters.filter((other) => other !== waiter);
  }

  /** Those whose time is up go empty-handed; but what a claim under way takes for them is theirs. */
  function dropExpired() {
    const now = performance.now();
    for (const waiter of waiters.filter((each) => !each.claiming && each.until <= now)) {
      leave(waiter);
      waiter.resolve([]);
    }
  }

  async function look() {
    let nextLookMs = Number.POSITIVE_INFINITY;
    while (waiters.length > 0 && !closed) {
      lookAgain = false;
      const batch = takeBatch(waiters);
      for (const waiter of batch) waiter.claiming = true;
      try {
        const claimed = await claimFor(batch.map((waiter) => waiter.part));
        for (const [index, waiter] of batch.entries()) {
          const tasks = claimed.parts[index] ?? [];
          if (tasks.length === 0) continue;
          leave(waiter);
          waiter.resolve(tasks);
        }
        nextLookMs = claimed.nextDueMs ?? Number.POSITIVE_INFINITY;
        locked = claimed.passedOver ? Math.min(locked + 1, 6) : 0;
        if (locked > 0) nextLookMs = Math.min(nextLookMs, withJitter(passedOverPauseMs * 2 ** (locked - 1)));
        // Only an empty answer, found with fresh eyes, says that there is nothing and when the next is due.
        if (claimed.proven && !lookAgain) break;
      } catch (error) {
        memory = null;
        for (const waiter of batch) {
          leave(waiter);
          waiter.reject(error);
        }
      } finally {
        for (const waiter of batch) {
          waiter.claiming = false;
          if (waiter.gone && waiters.includes(waiter)) {
            leave(waiter);
            waiter.resolve([]);
          }
        }
      }
    }
    lookAt = performance.now() + Math.min(withJitter(pollIntervalMs), nextLookMs);
  }

  async function run() {
    if (looking || closed) return;
    looking = look();
    await looking;
    looking = null;
    dropExpired();
    // Who came between the end of that look and here found it under way, and nobody has looked for them.
    if (lookAgain && waiters.length > 0) void run();
    else arm();
  }

  async function claimFor(parts: ClaimPart[]) {
    if (memory && memory.until <= performance.now()) memory = null;
    rotation = (rotation + 1) % selection.queues.length;
    const rotated = [...selection.queues.slice(rotation), ...selection.queues.slice(0, rotation)];
    const lines = memory && [...memory.lines.values()];
    const hintsBefore = hints;
    const claimed = await claimTasks(db, { ...selection, queues: rotated, lines }, parts);
    const count = claimed.parts.reduce((sum, tasks) => sum + tasks.length, 0);
    const isFull = count >= parts.reduce((sum, part) => sum + part.limit, 0);
    if (!isFull) {
      memory = null;
    } else if (selection.filter === undefined && hints === hintsBefore) {
      // Not what was seen before a hint: the hint would be undone.
      memory ??= { lines: new Map(), until: performance.now() + memoryMs };
      for (const line of [...(claimed.lines ?? []), ...claimed.taken]) raiseFloor(memory.lines, line);
    }
    return { ...claimed, proven: count === 0 && lines === null };
  }

  /** Sleeps until it is time to look, or until the first waiter's time is up. */
  function arm() {
    if (timer) clearTimeout(timer);
    timer = null;
    if (waiters.length === 0 || closed || looking) return;
    const wakeAt = Math.min(lookAt, ...waiters.map((waiter) => waiter.until));
    timer = setTimeout(
      () => {
        dropExpired();
        if (performance.now() >= lookAt) void run();
        else arm();
      },
      Math.max(1, Math.ceil(wakeAt - performance.now())),
    );
  }

  return {
    claim(part, { waitMs, signal }) {
      if (closed || signal?.aborted) return Promise.resolve([]);
      return new Promise((resolve, reject) => {
        const onAbort = () => {
          waiter.gone = true;
          if (waiter.claiming) return;
          leave(waiter);
          waiter.resolve([]);
        };
        const waiter: Waiter = {
          claiming: false,
          gone: false,
          part,
          until: performance.now() + waitMs,
          resolve(tasks) {
            signal?.removeEventListener('abort', onAbort);
            resolve(tasks);
          },
          reject(error) {
            signal?.removeEventListener('abort', onAbort);
            reject(error);
          },
        };
        signal?.addEventListener('abort', onAbort);
        waiters.push(waiter);
        lookAgain = true;
        void run();
      });
    },
    onHint(hint) {
      const lines = (hint?.lines ?? []).filter(([queue]) => queues.has(queue));
      if (hint !== null && lines.length === 0) return;
      const isKnown = (line: [string, number]) =>
        memory?.lines.has(keyOf({ queue: line[0], priority: line[1] }));
      if (hint === null || hint.putBack || !lines.every(isKnown)) {
        memory = null;
        hints += 1;
      }
      lookAgain = true;
      if (waiters.length > 0) void run();
    },
    get waiting() {
      return waiters.length;
    },
    async close() {
      closed = true;
      if (timer) clearTimeout(timer);
      for (const waiter of waiters.filter((each) => !each.claiming)) {
        leave(waiter);
        waiter.resolve([]);
      }
      await looking;
      for (const waiter of waiters.splice(0)) waiter.resolve([]);
    },
  };
}

function keyOf(line: { queue: string; priority: number }): string {
  return `${line.priority} ${line.queue}`;
}

function raiseFloor(lines: Map<string, Line>, seen: Line) {
  const floor_us = seen.floor_us - floorSlackUs;
  const known = lines.get(keyOf(seen));
  if (!known || known.floor_us < floor_us) lines.set(keyOf(seen), { ...seen, floor_us });
}

/** The first in line, within the bounds of one claim. */
function takeBatch(waiters: Waiter[]): Waiter[] {
  const batch: Waiter[] = [];
  let tasks = 0;
  for (const waiter of waiters) {
    if (
      batch.length > 0 &&
      (batch.length === partsPerClaimMax || tasks + waiter.part.limit > tasksPerClaimMax)
    )
      break;
    batch.push(waiter);
    tasks += waiter.part.limit;
  }
  return batch;
}
