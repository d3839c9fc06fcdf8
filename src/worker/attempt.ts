import { formatDuration } from '../core/durations.ts';
import type { Json } from '../core/json.ts';
import type { TaskError } from '../core/task.ts';
import type { ClaimedTask, Outcome, TaskSource } from '../core/task-source.ts';
import type { Claim } from './claim.ts';
import type { Ending, Executor } from './executors/executor.ts';
import type { OpenLog } from './logs/attempt-log.ts';
import { orStopped } from './or-stopped.ts';
import { type Mask, noMask } from './secrets/mask.ts';
import { resolveSecrets } from './secrets/resolve.ts';
import type { Vault } from './secrets/vault.ts';
import { AttemptStopped, type StopReason } from './stop-reason.ts';
import { storableMessage } from './storable.ts';

export interface AttemptEnd {
  /** Null when the claim was lost: there is nobody to tell. */
  outcome: Outcome | null;
  runMs: number;
  /** Code that ignored its signal, and why it should have stopped. */
  abandoned?: { reason: StopReason; stillRunning: Promise<unknown> };
}

export interface AttemptParts {
  killGraceMs: number;
  heartbeat: () => Promise<void>;
  readOutput: TaskSource['readOutput'];
  vault: Vault;
  log: OpenLog;
  progress: (progress: Json) => void;
}

/** Runs the claim's attempt to its end, stops it when its time is up, and says what to settle. Never rejects. */
export async function runAttempt(claim: Claim, executor: Executor, parts: AttemptParts): Promise<AttemptEnd> {
  const { task, stop } = claim;
  const startedMs = performance.now();
  const disarm = armTimeout(task.timeout_ms, () => stop.abort(new AttemptStopped('timed_out')));
  let ending: Ending;
  try {
    ending = await execute(task, executor, { ...parts, signal: stop.signal });
  } catch (error) {
    ending = stop.signal.aborted ? { kind: 'stopped' } : workerFault(error);
  }
  disarm();
  const runMs = performance.now() - startedMs;
  const reason = stop.signal.aborted ? (stop.signal.reason as AttemptStopped).reason : null;
  const logged = parts.log.close();
  // Lines are taken only while the claim is held: before its outcome is handed over.
  if (reason !== 'lease_lost') await logged;
  const figures = { timeoutMs: task.timeout_ms, runMs: Math.round(runMs) };
  const outcome = reason === 'lease_lost' ? null : toOutcome(ending, reason, figures);
  if (ending.kind !== 'stopped' || ending.stillRunning === undefined || reason === null)
    return { outcome, runMs };
  return { outcome, runMs, abandoned: { reason, stillRunning: ending.stillRunning } };
}

/** Gives the executor what the claim did not bring along: large outputs, and the values of secrets. */
async function execute(
  task: ClaimedTask,
  executor: Executor,
  {
    killGraceMs,
    heartbeat,
    readOutput,
    vault,
    log,
    progress,
    signal,
  }: AttemptParts & { signal: AbortSignal },
): Promise<Ending> {
  const whole = await withLargeNeeds(task, readOutput, signal);
  const resolved = await orStopped(resolveSecrets(whole.spec, vault), signal);
  if ('missing' in resolved) return secretsMissing(resolved.missing, vault);
  const { spec, mask } = resolved;
  const context = { signal, killGraceMs, heartbeat, log, mask };
  try {
    const ending = await executor(
      { ...whole, spec },
      { ...context, progress: (value) => progress(mask.json(value)) },
    );
    return masked(ending, mask);
  } catch (error) {
    if (signal.aborted) return { kind: 'stopped' };
    // Node quotes the arguments that it refuses.
    return masked(workerFault(error), mask);
  }
}

/** An executor masks what it streams; what it says of the end may hold a value all the same. */
function masked(ending: Ending, mask: Mask): Ending {
  if (mask === noMask) return ending;
  if (ending.kind === 'failed') {
    const error = mask.json({ ...ending.error } as unknown as { [key: string]: Json });
    return {
      ...ending,
      error: error as unknown as TaskError,
      ...(ending.output === undefined ? {} : { output: mask.json(ending.output) }),
    };
  }
  if (ending.kind === 'completed') return { ...ending, output: mask.json(ending.output) };
  const { output, remark } = ending;
  return {
    ...ending,
    ...(output === undefined ? {} : { output: mask.json(output) }),
    ...(remark === undefined ? {} : { remark: mask.text(remark) }),
  };
}

function secretsMissing(names: string[], { description }: Vault): Ending {
  const list = names.map((name) => `"${name}"`).join(', ');
  return {
    kind: 'failed',
    error: {
      code: 'secret_missing',
      message: `this worker has no secret ${list}: it looks ${description}`,
      details: { secrets: names },
    },
    exitCode: null,
  };
}

/** Of the outputs that are handed to one attempt: it holds them in memory, and writes them to a file. */
const needsBytesMax = 128 * 1024 * 1024;

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
  const { kind: _kind, remark, stillRunning: _stillRunning, exitCode = null, ...others } = ending;
  const figures = { ...others, exitCode, runMs };
  if (reason === 'cancelled') return { kind: 'cancelled', ...figures };
  if (reason === 'timed_out')
    return { kind: 'timed_out', error: timeoutError(timeoutMs, remark), ...figures };
  return { kind: 'released' };
}

function timeoutError(timeoutMs: number | null, remark: string | undefined): TaskError {
  const limit = timeoutMs === null ? 'its time' : `its timeout of ${formatDuration(timeoutMs)}`;
  const more = remark === undefined ? '' : `; ${remark}`;
  return { code: 'timed_out', message: `the attempt was stopped after ${limit}${more}` };
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
