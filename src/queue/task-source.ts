/** A worker's tasks straight from the database. */
import { setTimeout as sleep } from 'node:timers/promises';
import { reconnectDelayMs } from '../core/backoff.ts';
import { SkipjackError } from '../core/errors.ts';
import { newId } from '../core/ids.ts';
import { joinSignals } from '../core/join-signals.ts';
import type { ClaimedTask, ClaimRequest, LogResult, SettleResult, TaskSource } from '../core/task-source.ts';
import { decodeToken } from '../core/token.ts';
import { isConnectionFault } from '../database/faults.ts';
import { appendLogs, type ClaimChunk } from './logs/append.ts';
import { findHeld } from './logs/held.ts';
import type { Queue } from './queue.ts';
import { readOutput } from './read-tasks.ts';
import { removeWorker } from './workers.ts';

/**
 * `signal` ends the patience: until it is aborted every call that is safe to repeat is repeated while the
 * database is away.
 */
export function createDatabaseTaskSource(queue: Queue, { signal }: { signal: AbortSignal }): TaskSource {
  const { db } = queue;

  /** Repeats `call` while the database cannot be reached. */
  async function patiently<Result>(
    call: () => Promise<Result>,
    giveUp: AbortSignal = signal,
  ): Promise<Result> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await call();
      } catch (error) {
        if (!isConnectionFault(error)) throw error;
        if (giveUp.aborted)
          throw new SkipjackError('database_unreachable', 'The database does not answer.', { cause: error });
        await sleep(reconnectDelayMs(tries, { maxMs: 2_000 }), undefined, { signal: giveUp }).catch(() => {});
      }
    }
  }

  return {
    async claim(request: ClaimRequest): Promise<ClaimedTask[]> {
      // Made once: when the connection breaks under a claim, asking again with the same id finds what it took.
      const claimId = request.claimId ?? newId();
      const stop = joinSignals(signal, request.signal);
      let isRepeat = request.claimId !== undefined;
      try {
        return await patiently(async () => {
          const claimIdIsNew = !isRepeat;
          isRepeat = true;
          return await queue.claim({ ...request, claimId, claimIdIsNew, signal: stop.signal });
        }, stop.signal);
      } finally {
        stop.release();
      }
    },
    settle: (settlements) =>
      Promise.all(
        settlements.map(async (settlement): Promise<SettleResult> => {
          const { id, token, ...outcome } = settlement;
          const claim = decodeToken(token, id);
          if (claim === null) return { kind: 'token_mismatch' };
          return patiently(() => queue.settle({ ...claim, ...outcome }));
        }),
      ),
    heartbeat: (leases, { leaseMs, timeoutGraceMs = 0 }) =>
      Promise.all(
        leases.map(({ id, token, started, progress }) => {
          const claim = decodeToken(token, id);
          if (claim === null) return { kind: 'gone' as const };
          return patiently(() => queue.heartbeat({ ...claim, started, progress, leaseMs, timeoutGraceMs }));
        }),
      ),
    readOutput: (taskId) => patiently(() => readOutput(db, taskId)),
    async appendLogs(chunks) {
      const results = chunks.map((): LogResult => ({ kind: 'lease_lost' }));
      const ours = chunks.flatMap(({ id, token, firstLine, lines }, index) => {
        const claim = decodeToken(token, id);
        return claim === null ? [] : { index, taskId: id, claimNo: claim.claimNo, firstLine, lines };
      });
      const answers = await appendLogs(db, ours satisfies ClaimChunk[]).catch((error: unknown) => {
        if (!isConnectionFault(error)) throw error;
        throw new SkipjackError('database_unreachable', 'The database does not answer.', { cause: error });
      });
      for (const [place, { index }] of ours.entries()) results[index] = answers[place] as LogResult;
      return results;
    },
    findHeld: (claims) => patiently(() => findHeld(db, claims)),
    enqueue: (tasks) => Promise.all(tasks.map((task) => patiently(() => queue.enqueue(task)))),
    announceWorker: (worker) => queue.announceWorker(worker),
    removeWorker: (id) => removeWorker(db, id),
    onStopHint: (worker, listener) =>
      db.hints.subscribe((hint) => {
        if (hint === null || hint.workers?.includes(worker)) listener();
      }),
  };
}
