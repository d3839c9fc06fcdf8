/** A worker's tasks over HTTP, for workers that reach a server and no database. */
import { setTimeout as sleep } from 'node:timers/promises';
import { reconnectDelayMs } from '../core/backoff.ts';
import { formatDuration } from '../core/durations.ts';
import { SkipjackError } from '../core/errors.ts';
import { newId } from '../core/ids.ts';
import { joinSignals } from '../core/join-signals.ts';
import type { Json } from '../core/json.ts';
import type { ClaimedTask, ClaimRequest, LogChunk, LogResult, TaskSource } from '../core/task-source.ts';
import { type LogChunkResult, mergeLogResults, toWireChunks } from './log-chunks.ts';
import { type Call, type Connection, createRequest } from './request.ts';
import {
  toClaimedTask,
  toEnqueueResult,
  toHeartbeatResult,
  toSettleResult,
  toTaskInput,
  toWireSettlement,
  type WireResult,
  type WireTask,
} from './wire.ts';

/** One claim waits at most so long at the server; the worker asks again. */
const claimWaitMsMax = 60_000;
/** Past the wait, an answer that does not come is one that was lost. */
const answerMsMax = 30_000;
/** How long the last word of a claim that was called off may take. */
const lastWordMsMax = 2_000;
/** Items of one call, and their size: the server bounds both, at 1,000 and 8 MiB. */
const itemsMax = 500;
const bytesMax = 4 * 1024 * 1024;

export interface HttpTaskSourceOptions extends Connection {
  /** Ends the patience: until it is aborted every call is repeated while the server does not answer. */
  signal: AbortSignal;
  /** Hears of each call that will be repeated, and why. */
  onRepeat?: (error: SkipjackError) => void;
}

/**
 * Every call is safe to repeat and is repeated: a claim carries its `claim_id`, settles and heartbeats their
 * tokens, an enqueued task its idempotency key.
 *
 * There is no push: a worker hears with its next heartbeat that something is to be stopped.
 */
export function createHttpTaskSource(options: HttpTaskSourceOptions): TaskSource {
  const request = createRequest(options);
  const { signal, onRepeat = () => {} } = options;

  /** Repeats the call until it is answered or `giveUp` is aborted. */
  async function patiently<Body>(
    path: string,
    call: Call,
    { giveUp = signal, answerMs = answerMsMax }: { giveUp?: AbortSignal; answerMs?: number } = {},
  ): Promise<Body> {
    for (let tries = 1; ; tries += 1) {
      try {
        return (await ask<Body>(path, call, { hangUp: call.signal, answerMs })).body;
      } catch (error) {
        if (!(error instanceof SkipjackError) || !isPassing(error) || giveUp.aborted) throw error;
        onRepeat(error);
        const said = Number(error.extra.retry_after_s ?? 0) * 1_000;
        const pauseMs = Math.max(Math.min(said, 10_000), reconnectDelayMs(tries, { maxMs: 2_000 }));
        await sleep(pauseMs, undefined, { signal: giveUp }).catch(() => {});
      }
    }
  }

  async function ask<Body>(
    path: string,
    call: Call,
    { hangUp, answerMs }: { hangUp: AbortSignal | undefined; answerMs: number },
  ) {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), answerMs);
    const either = joinSignals(hangUp, late.signal);
    try {
      return await request<Body>(path, { ...call, signal: either.signal });
    } catch (error) {
      if (!late.signal.aborted || hangUp?.aborted) throw error;
      throw new SkipjackError('server_unreachable', `The server did not answer ${path} in time.`, {
        cause: error,
      });
    } finally {
      clearTimeout(timer);
      either.release();
    }
  }

  async function claim(wanted: ClaimRequest): Promise<ClaimedTask[]> {
    const joined = joinSignals(signal, wanted.signal);
    const stop = joined.signal;
    const waitMs = Math.min(wanted.waitMs, claimWaitMsMax);
    const body = {
      queues: wanted.queues,
      limit: wanted.limit,
      ...(wanted.startLimit === undefined ? {} : { start_limit: wanted.startLimit }),
      worker: wanted.worker,
      lease: formatDuration(wanted.leaseMs),
      ...(wanted.timeoutGraceMs === undefined
        ? {}
        : { timeout_grace: formatDuration(wanted.timeoutGraceMs) }),
      wait: formatDuration(waitMs),
      claim_id: wanted.claimId ?? newId(),
      ...wanted.filter,
      ...(wanted.outputs === undefined ? {} : { outputs: wanted.outputs }),
    };
    const path = '/v1/tasks/claim';
    try {
      const answer = await patiently<{ tasks: WireTask[] }>(
        path,
        { method: 'POST', body, signal: stop },
        { giveUp: stop, answerMs: waitMs + answerMsMax },
      );
      return answer.tasks.map(toClaimedTask);
    } catch (error) {
      if (!stop.aborted) throw error;
      // The answer may have been on its way when we hung up, with tasks that now nobody knows to be his. The
      // same claim id finds them; one that is claimed by this very question goes back with them.
      const call = { method: 'POST', body: { ...body, limit: 1, start_limit: 0, wait: '0s' } } as const;
      const last = ask<{ tasks: WireTask[] }>(path, call, { hangUp: undefined, answerMs: lastWordMsMax });
      return last.then(
        (answer) => answer.body.tasks.map(toClaimedTask),
        () => [],
      );
    } finally {
      joined.release();
    }
  }

  /** Posts `items` in calls of a size that the server takes; results in their order. */
  async function postAll<Item>(
    path: string,
    items: Item[],
    toBody: (items: Item[]) => Record<string, unknown>,
  ): Promise<(WireResult | undefined)[]> {
    return (await Promise.all(cut(items).map((part) => postPart(path, part, toBody)))).flat();
  }

  async function postPart<Item>(
    path: string,
    items: Item[],
    toBody: (items: Item[]) => Record<string, unknown>,
  ): Promise<(WireResult | undefined)[]> {
    const call = { method: 'POST', body: toBody(items) } as const;
    const { results } = await patiently<{ results: WireResult[] }>(path, call);
    // Of one batch some may have met a database that was just going away, and others not.
    const unmet = [...items.keys()].filter((index) => isUnmet(results[index]));
    if (unmet.length > 0) {
      // Not an answer about the item: who asks must not take it for one.
      if (signal.aborted) throw notAnswered(results[unmet[0] as number]);
      await sleep(reconnectDelayMs(3), undefined, { signal }).catch(() => {});
      const again = await postPart(
        path,
        unmet.map((index) => items[index] as Item),
        toBody,
      );
      for (const [place, index] of unmet.entries()) results[index] = again[place] as WireResult;
    }
    return items.map((_item, index) => results[index]);
  }

  /** One part after the other: of one claim, lines that come late are taken for known. */
  async function appendLogs(chunks: LogChunk[]): Promise<LogResult[]> {
    const wire = chunks.flatMap(toWireChunks);
    const results: LogChunkResult[] = [];
    for (const part of cut(wire.map(({ body }) => body))) {
      const call = { method: 'POST', body: { chunks: part } } as const;
      const { body } = await ask<{ results: LogChunkResult[] }>('/v1/tasks/logs', call, {
        hangUp: undefined,
        answerMs: answerMsMax,
      });
      results.push(...body.results);
    }
    return mergeLogResults(
      chunks.length,
      wire.map(({ chunk }, index) => ({ chunk, result: results[index] })),
    );
  }

  return {
    claim,
    async settle(settlements) {
      const results = await postAll('/v1/tasks/settle', settlements.map(toWireSettlement), (part) => ({
        settlements: part,
      }));
      return results.map(toSettleResult);
    },
    async heartbeat(leases, { leaseMs, timeoutGraceMs }) {
      const results = await postAll('/v1/tasks/heartbeat', leases, (part) => ({
        leases: part,
        lease: formatDuration(leaseMs),
        ...(timeoutGraceMs === undefined ? {} : { timeout_grace: formatDuration(timeoutGraceMs) }),
      }));
      return results.map(toHeartbeatResult);
    },
    async enqueue(tasks) {
      const results = await postAll('/v1/tasks/batch', tasks.map(toTaskInput), (part) => ({ tasks: part }));
      return results.map(toEnqueueResult);
    },
    async readOutput(taskId) {
      const path = `/v1/tasks/${encodeURIComponent(taskId)}`;
      return (await patiently<{ output: Json }>(path, { method: 'GET' })).output;
    },
    appendLogs,
    async findHeld(claims) {
      const answers: { instance: string; held: boolean[] }[] = [];
      // Also of none: it says which database this is.
      for (const part of claims.length === 0 ? [[]] : cut(claims.map(({ id, token }) => ({ id, token })))) {
        const call = { method: 'POST', body: { claims: part } } as const;
        answers.push(await patiently('/v1/tasks/held', call));
      }
      return { instance: answers[0]?.instance ?? '', held: answers.flatMap(({ held }) => held) };
    },
    async announceWorker({ id, ...worker }) {
      await patiently(workerPath(id), { method: 'PUT', body: worker });
    },
    async removeWorker(id) {
      await patiently(workerPath(id), { method: 'DELETE' });
    },
    onStopHint: () => () => {},
  };
}

function workerPath(id: string): string {
  return `/v1/workers/${encodeURIComponent(id)}`;
}

/** The server, or the database behind it, is away or busy; the same again may be answered. */
function isPassing(error: SkipjackError): boolean {
  return [
    'server_unreachable',
    'database_unreachable',
    'schema_outdated',
    'request_timeout',
    'overloaded',
    'idempotency_key_busy',
    'timeout',
  ].includes(error.code);
}

function notAnswered(result: WireResult | undefined): SkipjackError {
  return new SkipjackError('server_unreachable', `The server could not do it in time: ${result?.detail}`);
}

function isUnmet(result: WireResult | undefined): boolean {
  return result?.status === 503 && result.code !== 'idempotency_key_busy';
}

function cut<Item>(items: Item[]): Item[][] {
  const parts: Item[][] = [];
  let part: Item[] = [];
  let bytes = 0;
  for (const item of items) {
    const size = Buffer.byteLength(JSON.stringify(item));
    if (part.length > 0 && (part.length === itemsMax || bytes + size > bytesMax)) {
      parts.push(part);
      part = [];
      bytes = 0;
    }
    part.push(item);
    bytes += size;
  }
  if (part.length > 0) parts.push(part);
  return parts;
}
