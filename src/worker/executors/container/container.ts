/**
 * Runs a task's containers: sidecars beside, what comes before, its own, what comes after.
 *
 * Whatever happens, nothing that the attempt made is there any more when it ends, but what the runtime itself did not
 * let go: that is said in the log, and a later sweep finds it by its labels.
 */
import { parseDuration } from '../../../core/durations.ts';
import type { NamedPart } from '../../../core/spec.ts';
import { orStopped } from '../../or-stopped.ts';
import type { ContainerPolicy } from '../../policy.ts';
import type { Ending, ExecutionContext, Executor, RunnableTask } from '../executor.ts';
import { checkAllowed, partsOf } from './allowed.ts';
import { type Attempt, newPrefix } from './attempt.ts';
import { cleanUp } from './cleanup.ts';
import { splitEnvironment } from './environment.ts';
import { ContainerFailure, isUnreachable, Stopped, throwIfStopped } from './errors.ts';
import { checkFileName, takeOutput } from './exchange.ts';
import { labelsFor, noteRunning } from './labels.ts';
import { checkMounts, checkTarget } from './mounts.ts';
import { makeContainer, type NamedContainer, type PartEnd, runContainer } from './part.ts';
import { watchProgress } from './progress.ts';
import { pullImages } from './pull.ts';
import { type ContainerRuntime, withMask } from './runtime.ts';
import { checkSidecars, newSidecars, type Sidecars } from './sidecars.ts';
import { makeVolumes } from './volumes.ts';

export interface ContainerExecutorOptions {
  runtime: ContainerRuntime;
  policy: ContainerPolicy;
  /** The worker's id. */
  worker: string;
  /** Names this machine and pid namespace. */
  place: string;
  /** The id of the database that tasks come from. */
  instance: () => Promise<string>;
}

export function containerExecutor(options: ContainerExecutorOptions): Executor {
  return async (task, context) => {
    const ended = noteRunning(task.token);
    try {
      const attempt = await prepare(task, context, options);
      const sidecars = newSidecars(attempt);
      try {
        return await runParts(attempt, sidecars);
      } finally {
        sidecars.release();
        await cleanUp(attempt);
        await sidecars.over();
      }
    } catch (error) {
      if (error instanceof Stopped) return { kind: 'stopped' };
      if (error instanceof ContainerFailure) return error.toEnding();
      throw error;
    } finally {
      ended();
    }
  };
}

/** Everything that can be refused is refused before anything is made. */
async function prepare(
  task: RunnableTask,
  context: ExecutionContext,
  { runtime, policy, worker, place, instance }: ContainerExecutorOptions,
): Promise<Attempt> {
  const { spec } = task;
  if (spec?.type !== 'container') throw new TypeError(`not a container: ${spec?.type}`);
  const allowed = checkAllowed(spec, policy);
  const { memoryBytes } = allowed.limits;
  const mounts = await checkMounts(spec, policy, { runtime, memoryBytes });
  for (const path of spec.volumes ?? []) checkTarget(path);
  checkSidecars(spec.sidecars ?? []);
  for (const part of partsOf(spec)) {
    for (const name of Object.keys(part.files ?? {})) checkFileName(name);
    splitEnvironment(part.env ?? {}, {});
  }
  throwIfStopped(context.signal);
  return {
    runtime: withMask(runtime, context.mask),
    policy,
    task,
    spec,
    context,
    allowed,
    mounts,
    labels: labelsFor(task, {
      instance: await orStopped(instance(), context.signal, () => new Stopped()),
      worker,
      place,
    }),
    prefix: newPrefix(task.id),
    containers: [],
    volumes: [],
    network: null,
    isUncertain: false,
    folder: null,
  };
}

async function runParts(attempt: Attempt, sidecars: ReturnType<typeof newSidecars>): Promise<Ending> {
  const { spec } = attempt;
  await pullImages(attempt);
  await makeVolumes(attempt);
  await sidecars.start();
  for (const [index, part] of (spec.pre ?? []).entries()) {
    const end = await runBeside(attempt, nameOf(part, 'pre', index), part, sidecars);
    if (end.stopped) return stopped(attempt, end, sidecars);
    if (end.failure !== null) throw failureOf('pre', nameOf(part, 'pre', index), end.failure);
  }
  const main = await runMain(attempt, sidecars);
  if (main.kind === 'stopped') return main;
  const failure = await runPosts(attempt, main);
  if (failure === null || main.kind === 'failed') return main;
  const { output, cpuMs, memoryPeakBytes } = main;
  return { ...failure.toEnding(), output, ...usage({ cpuMs, memoryPeakBytes }) };
}

type Named = NamedContainer & { logName: string };

function nameOf(part: NamedPart, kind: 'pre' | 'post', index: number): Named {
  return { part, kind, logName: `${kind} ${part.name ?? index + 1}`, suffix: `${kind}-${index + 1}` };
}

/** Runs a part while the sidecars live. */
async function runBeside(
  attempt: Attempt,
  named: NamedContainer,
  { timeout }: { timeout?: string },
  { exited }: Sidecars,
): Promise<PartEnd> {
  const container = await makeContainer(attempt, named);
  if (exited.aborted) throw exited.reason;
  return runContainer(attempt, container, { timeoutMs: parseDuration(timeout ?? ''), alsoStop: exited });
}

/** The task's own container. A failure of the runtime itself is thrown: there is nobody to run what comes after. */
async function runMain(attempt: Attempt, sidecars: Sidecars): Promise<Ending> {
  const named: NamedContainer = { part: attempt.spec, kind: 'main', logName: undefined, suffix: 'main' };
  let unwatch = () => {};
  try {
    const container = await makeContainer(attempt, named);
    if (sidecars.exited.aborted) throw sidecars.exited.reason;
    unwatch = watchProgress(attempt, container.name);
    const end = await runContainer(attempt, container, { alsoStop: sidecars.exited });
    unwatch();
    if (end.stopped) return stopped(attempt, end, sidecars);
    const more = { output: end.stdout, ...usage(end.figures) };
    if (end.failure !== null) return { ...end.failure.toEnding(), ...more };
    const written = await takeOutput(attempt.runtime, container.name);
    if (written === undefined) return { kind: 'completed', exitCode: 0, ...more };
    if (written.ok) return { kind: 'completed', exitCode: 0, ...more, output: written.value };
    const { code, message } = written;
    return { kind: 'failed', error: { code, message }, exitCode: 0, ...more };
  } catch (error) {
    unwatch();
    if (error instanceof ContainerFailure && !isUnreachable(error)) return error.toEnding();
    throw error;
  }
}

function stopped(attempt: Attempt, end: PartEnd, { exited }: Sidecars): Ending {
  const more = { output: end.stdout, ...usage(end.figures) };
  // Our own doing: what the attempt could not do without had ended.
  if (!attempt.context.signal.aborted) {
    if (exited.reason instanceof ContainerFailure) return { ...exited.reason.toEnding(), ...more };
  }
  const { pids } = attempt.allowed.limits;
  return {
    kind: 'stopped',
    exitCode: end.exitCode,
    ...more,
    ...(end.figures.pidsRefused > 0 ? { remark: `it had reached its limit of ${pids} processes` } : {}),
  };
}

/** What comes after, whatever main came to: each is run, and the first that fails is answered. */
async function runPosts(
  attempt: Attempt,
  main: Exclude<Ending, { kind: 'stopped' }>,
): Promise<ContainerFailure | null> {
  const env = {
    SKIPJACK_OUTCOME: main.kind,
    SKIPJACK_EXIT_CODE: String(main.exitCode ?? ''),
    SKIPJACK_ERROR_CODE: main.kind === 'failed' ? main.error.code : '',
  };
  let first: ContainerFailure | null = null;
  for (const [index, part] of (attempt.spec.post ?? []).entries()) {
    const named = { ...nameOf(part, 'post', index), env };
    const failure = await runPost(attempt, named, part);
    if (failure === null) continue;
    if (main.kind === 'failed') attempt.context.log.say(failure.message, { stream: 'skipjack' });
    first ??= failure;
  }
  return first;
}

async function runPost(
  attempt: Attempt,
  named: Named,
  { timeout }: NamedPart,
): Promise<ContainerFailure | null> {
  let failure: ContainerFailure | null;
  try {
    const container = await makeContainer(attempt, named);
    const end = await runContainer(attempt, container, { timeoutMs: parseDuration(timeout ?? '') });
    if (end.stopped) throw new Stopped();
    failure = end.failure;
  } catch (error) {
    if (!(error instanceof ContainerFailure)) throw error;
    failure = error;
  }
  return failure === null ? null : failureOf('post', named, failure);
}

/** The part's failure as the task's: `pre_failed` where it is the part's own, else what it was. */
function failureOf(
  kind: 'pre' | 'post',
  { logName }: Named,
  { code, message, details, retry, exitCode }: ContainerFailure,
) {
  return new ContainerFailure(code === 'exit_code' ? `${kind}_failed` : code, `${logName}: ${message}`, {
    exitCode,
    ...(details === undefined ? {} : { details }),
    ...(retry === undefined ? {} : { retry }),
  });
}

function usage({
  cpuMs,
  memoryPeakBytes,
}: {
  cpuMs?: number | undefined;
  memoryPeakBytes?: number | undefined;
}) {
  return {
    ...(cpuMs === undefined ? {} : { cpuMs }),
    ...(memoryPeakBytes === undefined ? {} : { memoryPeakBytes }),
  };
}
