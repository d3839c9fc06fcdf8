import { formatDuration } from '../core/durations.ts';
import type { ClaimedTask, Outcome, TaskSource } from '../core/task-source.ts';
import type { Claim } from './claim.ts';
import type { Ending, Executor } from './executors/executor.ts';
import { AttemptStopped, type StopReason } from './stop-reason.ts';
import { storableMessage } from './storable.ts';

export interface AttemptEnd {
  /** Null when the claim was lost: there is nobody to tell. */
  outcome: Outcome | null;
  runMs: number;
  /** Code that ignored its signal, and why it should have stopped. */
  abandoned?: { reason: StopReason; stillRunning: Promise<unknown> };
}

/** Runs the claim's attempt to its end, stops it when its time is up, and says what to settle. Never rejects. */
export async function runAttempt(
  claim: Claim,
  executor: Executor,
  {
    killGraceMs,
    heartbeat,
    readOutput,
  }: {
    killGraceMs: number;
    heartbeat: () => Promise<void>;
    readOutput: TaskSource['readOutput'];
  },
): Promise<AttemptEnd> {
  const { task, stop } = claim;
  const startedMs = performance.now();
  const disarm = armTimeout(task.timeout_ms, () => stop.abort(new AttemptStopped('timed_out')));
  let ending: Ending;
  try {
    const whole = await withLargeNeeds(task, readOutput, stop.signal);
    ending = await executor(whole, {
      signal: stop.signal,
      killGraceMs,
      heartbeat,
    });
  } catch (error) {
    ending = stop.signal.aborted ? { kind: 'stopped' } : workerFault(error);
  }
  disarm();
  const runMs = performance.now() - startedMs;
  const reason = stop.signal.aborted ? (stop.signal.reason as AttemptStopped).reason : null;
  const figures = { timeoutMs: task.timeout_ms, runMs: Math.round(runMs) };
  const outcome = reason === 'lease_lost' ? null : toOutcome(ending, reason, figures);
  if (ending.kind !== 'stopped' || ending.stillRunning === undefined || reason === null)
    return { outcome, runMs };
  return { outcome, runMs, abandoned: { reason, stillRunning: ending.stillRunning } };
}

/** Of the outputs that are handed to one attempt: it holds them in memory, and writes them to a file. */
const needsBytesMax = 128 * 1024 * 1024;

function orStopped<Value>(value: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    value.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Outputs that were too large to come along with the claim are fetched before the attempt. */
async function withLargeNeeds(
  task: ClaimedTask,
  readOutput: TaskSource['readOutput'],
  signal: AbortSignal,
): Promise<ClaimedTask> {
  const large = Object.entries(task.large_needs);
  if (large.length === 0) return task;
  const needs = { ...task.needs };
  // One after the other: each may be a megabyte.
  let bytes = 0;
  for (const [name, taskId] of large) {
    // A fetch may go on for as long as the server is away; an attempt that was stopped must not begin after it.
    const output = await orStopped(readOutput(taskId), signal);
    bytes += Buffer.byteLength(JSON.stringify(output));
    if (bytes > needsBytesMax)
      throw new Error(`the outputs that it needs are larger than ${needsBytesMax} bytes`);
    needs[name] = output;
  }
  return { ...task, needs, large_needs: {} };
}

/** What `ending` means for the task. An attempt that ended by itself before it was stopped stays as it ended. */
function toOutcome(
  ending: Ending,
  reason: StopReason | null,
  { timeoutMs, runMs }: { timeoutMs: number | null; runMs: number },
): Outcome {
  if (ending.kind !== 'stopped') return { ...ending, runMs };
  const { output, exitCode = null } = ending;
  const figures = { ...(output === undefined ? {} : { output }), exitCode, runMs };
  if (reason === 'cancelled') return { kind: 'cancelled', ...figures };
  if (reason === 'timed_out') return { kind: 'timed_out', error: timeoutError(timeoutMs), ...figures };
  return { kind: 'released' };
}

function timeoutError(timeoutMs: number | null) {
  const limit = timeoutMs === null ? 'its time' : `its timeout of ${formatDuration(timeoutMs)}`;
  return { code: 'timed_out', message: `the attempt was stopped after ${limit}` };
}

/** The worker could not do its own part: no room in /tmp, say. Counted as a failure, for it may be the task. */
function workerFault(error: unknown): Ending {
  const message = error instanceof Error ? error.message : String(error);
  return {
    kind: 'failed',
    error: { code: 'worker_fault', message: storableMessage(`the worker could not run it: ${message}`) },
  };
}

/** A timer cannot be set for longer than this; it would go off at once. */
const timerMsMax = 2_147_483_647;

function armTimeout(timeoutMs: number | null, onTimeout: () => void): () => void {
  if (timeoutMs === null) return () => {};
  let leftMs = timeoutMs;
  let timer: NodeJS.Timeout;
  const arm = () => {
    const ms = Math.min(leftMs, timerMsMax);
    leftMs -= ms;
    timer = setTimeout(leftMs === 0 ? onTimeout : arm, ms);
  };
  arm();
  return () => clearTimeout(timer);
}
