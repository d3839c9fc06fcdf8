/**
 * The queue of one OS process: the moves that many callers make at once, gathered into batches, and those who
 * wait for something, served together. The other moves are plain functions beside this file.
 */

import { type Batcher, createBatcher } from '../core/batching.ts';
import { SkipjackError } from '../core/errors.ts';
import { findTextProblem } from '../core/json.ts';
import type { NewTask } from '../core/task.ts';
import type {
  ClaimedTask,
  ClaimRequest,
  EnqueueResult,
  HeartbeatResult,
  SettleResult,
  WorkerInfo,
} from '../core/task-source.ts';
import type { Database } from '../database/connection.ts';
import { isDataFault } from '../database/faults.ts';
import { type RetryCounters, repeatingDatabaseFaults } from '../database/repeat.ts';
import type { ClaimPart } from './claim.ts';
import { type ClaimLine, createClaimLine } from './claim-line.ts';
import { type ClaimOneResult, claimTask } from './claim-one.ts';
import { type Awaited, createEndWaiters } from './end-waiters.ts';
import { enqueueKeyedTasks, enqueueTasks } from './enqueue.ts';
import { claimAndHandOut, type HandOutParts, handOutOne } from './hand-out.ts';
import { type Beat, heartbeatTasks } from './heartbeat.ts';
import { describeTasks, type ToDescribe } from './processes/describe.ts';
import { createPlanCache, type PlanCache } from './processes/plans.ts';
import { type ClaimOutcome, settleTasks } from './settle.ts';
import { onSettled, type SettledListener } from './settled.ts';
import { announceWorkers } from './workers.ts';

export interface Queue {
  readonly db: Database;
  enqueue(task: NewTask): Promise<EnqueueResult>;
  /** Waits up to `waitMs` for work. Rejects when the database cannot be reached. */
  claim(request: ClaimRequest): Promise<ClaimedTask[]>;
  /** Claims one task by its id. */
  claimOne(taskId: string, part: OnePart): Promise<ClaimOneAnswer>;
  settle(outcome: ClaimOutcome): Promise<SettleResult>;
  heartbeat(beat: Beat): Promise<HeartbeatResult>;
  announceWorker(worker: WorkerInfo): Promise<void>;
  /** Plans of definitions, kept once they were read. */
  readonly plans: PlanCache;
  /** Waits until the task or process has ended, `waitMs` are over or `signal` is aborted. */
  waitForEnd(
    what: Awaited,
    id: string,
    wait: { waitMs: number; signal?: AbortSignal },
  ): Promise<'ended' | 'waiting' | 'not_found'>;
  /** Hears of what this OS process settles over the same `db`, reaped claims included. Returns what ends it. */
  onSettled(listener: SettledListener): () => void;
  /** Deadlocks and serialisation failures that were repeated, and connections lost under a call. */
  readonly repeated: RetryCounters;
  close(): Promise<void>;
}

export type OnePart = Pick<ClaimPart, 'worker' | 'leaseMs' | 'timeoutGraceMs' | 'claimId'>;
export type ClaimOneAnswer =
  | Exclude<ClaimOneResult, { kind: 'claimed' }>
  | { kind: 'claimed'; task: ClaimedTask };

export interface QueueOptions {
  /** How often those who wait look without a hint. */
  pollIntervalMs?: number;
  /** How long a call keeps trying while the database is away. */
  patienceMs?: number;
}

/** Settles of processes under way at once. One process always takes the same lane, so it never waits for itself. */
const processLanes = 3;
/** Claim lines kept for combinations of queues nobody waits for now. */
const idleLinesMax = 200;

export function openQueue(db: Database, options: QueueOptions = {}): Queue {
  const { pollIntervalMs = 5_000, patienceMs = 10_000 } = options;
  const lines = new Map<string, ClaimLine>();
  let closed = false;
  const endWaiters = createEndWaiters(db, pollIntervalMs);
  const repeated: RetryCounters = { deadlocks: 0, connectionsLost: 0 };
  const faults = () => repeatingDatabaseFaults({ patienceMs, counters: repeated });

  const sizeOfTask = (task: NewTask) => roughSize(task.input) + roughSize(task.spec) + 300;
  const enqueues = createBatcher({
    flush: (tasks: NewTask[]) => enqueueTasks(db, tasks),
    sizeOf: sizeOfTask,
    lanes: 2,
    ...faults(),
  });
  const keyedEnqueues = createBatcher({
    flush: (tasks: NewTask[]) => enqueueKeyedTasks(db, tasks),
    sizeOf: sizeOfTask,
    lanes: 2,
    ...faults(),
  });
  const settleLine = (lanes: number) =>
    createBatcher({
      flush: (outcomes: ClaimOutcome[]) => settleTasks(db, outcomes),
      sizeOf: (outcome) => ('output' in outcome ? roughSize(outcome.output) : 0) + 200,
      lanes,
      ...faults(),
    });
  const settles = settleLine(2);
  const processSettles = Array.from({ length: processLanes }, () => settleLine(1));
  const plans = createPlanCache(db);
  const descriptions = createBatcher({
    flush: (tasks: ToDescribe[]) => describeTasks(db, plans, tasks),
    // Each may bring a megabyte of input.
    itemsMax: 100,
    lanes: 2,
    ...faults(),
  });
  const heartbeats = createBatcher({
    flush: (beats: Beat[]) => heartbeatTasks(db, beats),
    lanes: 1,
    ...faults(),
  });
  const announcements = createBatcher({
    flush: async (workers: WorkerInfo[]) => {
      // Of one worker's announcements the last counts, but one made for it by its claims (pid 0) never does.
      const byThemselvesLast = workers.toSorted((one, other) => Math.sign(one.pid) - Math.sign(other.pid));
      await announceWorkers(db, [...new Map(byThemselvesLast.map((worker) => [worker.id, worker])).values()]);
      return workers.map(() => undefined);
    },
    ...faults(),
  });
  const batchers: Batcher<never, unknown>[] = [
    enqueues,
    keyedEnqueues,
    settles,
    ...processSettles,
    descriptions,
    heartbeats,
    announcements,
  ];

  const unsubscribe = db.hints.subscribe((hint) => {
    for (const line of lines.values()) line.onHint(hint);
    endWaiters.onHint(hint === null ? null : (hint.ended ?? []));
  });

  function lineFor(request: ClaimRequest): ClaimLine {
    const queues = [...new Set(request.queues)].sort();
    const key = JSON.stringify([queues, request.filter ?? null]);
    const known = lines.get(key);
    if (known) return known;
    if (lines.size >= idleLinesMax) {
      for (const [idleKey, line] of lines) if (line.waiting === 0) lines.delete(idleKey);
    }
    const line = createClaimLine(
      db,
      { queues, ...(request.filter ? { filter: request.filter } : {}) },
      { pollIntervalMs },
    );
    lines.set(key, line);
    return line;
  }

  function settleLineOf({ processId }: Pick<ClaimOutcome, 'processId'>) {
    if (!processId) return settles;
    return processSettles[Number.parseInt(processId.slice(-4), 16) % processLanes] ?? settles;
  }

  const handOutParts: HandOutParts = {
    describe: (task) => descriptions.add(task),
    settle: (outcome) => settleLineOf(outcome).add(outcome),
    heartbeat: (beat) => heartbeats.add(beat),
  };

  return {
    db,
    repeated,
    plans,
    enqueue: (task) => withInvalid((task.idempotency_key === null ? enqueues : keyedEnqueues).add(task)),
    claim: async (request) => {
      if (closed || request.limit < 1 || request.queues.length === 0) return [];
      // One caller's bad text must not fail the claim that it shares with others.
      const bad =
        findTextProblem(request.worker) ?? request.queues.map(findTextProblem).find((each) => each !== null);
      if (bad) throw new SkipjackError('invalid_request', `The name of a worker or queue has ${bad}.`);
      return claimAndHandOut(handOutParts, request, { line: () => lineFor(request), isOpen: () => !closed });
    },
    async claimOne(taskId, part) {
      const result = await claimTask(db, taskId, part);
      if (result.kind !== 'claimed') return result;
      const { leaseMs, timeoutGraceMs } = part;
      const task = await handOutOne(handOutParts, result.task, { leaseMs, timeoutGraceMs });
      return task ? { kind: 'claimed', task } : { kind: 'ended', state: 'failed' };
    },
    settle: (outcome) => withInvalid(settleLineOf(outcome).add(outcome)),
    heartbeat: (beat) => heartbeats.add(beat),
    announceWorker: (worker) => announcements.add(worker),
    onSettled: (listener) => onSettled(db, listener),
    waitForEnd: (what, id, wait) => endWaiters.wait(what, id, wait),
    async close() {
      closed = true;
      await Promise.all([...lines.values()].map((line) => line.close()));
      endWaiters.close();
      await Promise.all(batchers.map((batcher) => batcher.idle()));
      unsubscribe();
    },
  };
}

/** What the database could not store is an answer about one item, not a fault of ours. */
async function withInvalid<Result>(
  result: Promise<Result>,
): Promise<Result | { kind: 'invalid'; message: string }> {
  try {
    return await result;
  } catch (error) {
    if (!isDataFault(error)) throw error;
    return { kind: 'invalid', message: (error as Error).message };
  }
}

/** Cheap and near enough to bound a batch. */
function roughSize(value: unknown): number {
  if (typeof value === 'string') return value.length;
  return value === null || value === undefined ? 4 : JSON.stringify(value).length;
}
