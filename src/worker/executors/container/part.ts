/** The life of one container: made, filled, started, listened to, looked at when it has ended. */

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formatDuration } from '../../../core/durations.ts';
import type { ContainerPart } from '../../../core/spec.ts';
import { atMost } from '../../at-most.ts';
import { outputBytesMax } from '../../storable.ts';
import { HeadCapture, TailCapture } from '../capture.ts';
import { readStream } from '../read-stream.ts';
import { type Attempt, privateFolder } from './attempt.ts';
import { removeArguments } from './cleanup.ts';
import { createArguments } from './create-arguments.ts';
import { splitEnvironment } from './environment.ts';
import { ContainerFailure, runtimeFailure, throwIfStopped } from './errors.ts';
import { exchangeVariables, putFiles } from './exchange.ts';
import { howItEnded } from './how-it-ended.ts';
import { make } from './make.ts';
import { networksOf } from './network.ts';
import { getMissing, isMissing } from './pull.ts';
import type { CliProcess } from './runtime.ts';
import { type Figures, sampleUsage } from './usage.ts';

/** A part with what it is called. */
export interface NamedContainer {
  part: ContainerPart;
  kind: 'main' | 'pre' | 'post' | 'sidecar';
  /** In the log: `pre download`; undefined for main. */
  logName: string | undefined;
  /** At the end of the container's name. */
  suffix: string;
  /** Variables beside those that every part has. */
  env?: Record<string, string>;
}

export interface Container extends NamedContainer {
  name: string;
  id: string;
}

export interface PartEnd {
  /** Null: it was not running when it ended. */
  exitCode: number | null;
  stdout: string;
  stderr: string;
  /** Why it did not end well by itself; null: exit code 0, or it was stopped. */
  failure: ContainerFailure | null;
  /** It was asked to stop before it came to its end. */
  stopped: boolean;
  figures: Figures;
}

/** With the exit code beside it, within the 64 KiB of an error's details. */
const stderrBytesMax = 64_512;

/** Once a container is killed: for the command line to say that it has ended. */
const afterKillMs = 2_000;

/** A container that is still being started hears no signal. */
const signalAgainMs = 250;

export async function makeContainer(attempt: Attempt, named: NamedContainer): Promise<Container> {
  const { runtime, context, labels } = attempt;
  throwIfStopped(context.signal);
  const name = `${attempt.prefix}-${named.suffix}`;
  const { args, env } = await creation(attempt, named, name);
  attempt.containers.push(name);
  let end = await make(attempt, args, { env });
  if (end.kind === 'exited' && end.exitCode !== 0 && isMissing(end.stderr)) {
    await getMissing(attempt, named.part.image);
    end = await make(attempt, args, { env });
  }
  throwIfStopped(context.signal);
  if (end.kind !== 'exited' || end.exitCode !== 0)
    throw runtimeFailure(runtime, `making the container of task ${labels['skipjack.task']}`, end);
  const id = end.stdout.trim().split('\n').at(-1) ?? '';
  for (const network of networksOf(attempt).others) {
    const joined = await make(attempt, ['network', 'connect', network, name]);
    if (joined.kind !== 'exited' || joined.exitCode !== 0)
      throw runtimeFailure(runtime, `joining the network ${network}`, joined);
  }
  await putFiles(attempt, name, named.part);
  throwIfStopped(context.signal);
  return { ...named, name, id };
}

async function creation(
  attempt: Attempt,
  { part, kind, logName, suffix, env = {} }: NamedContainer,
  name: string,
) {
  const { task, allowed, policy } = attempt;
  const split = splitEnvironment(part.env ?? {}, {
    ...exchangeVariables,
    SKIPJACK_TASK_ID: task.id,
    SKIPJACK_TASK_NAME: task.name,
    SKIPJACK_ATTEMPT: String(task.attempt),
    ...(task.process === null ? {} : { SKIPJACK_PROCESS_ID: task.process.id }),
    SKIPJACK_PART: logName ?? 'main',
    ...env,
  });
  let envFile: string | null = null;
  if (split.file !== null) {
    envFile = join(await privateFolder(attempt), `${suffix}.env`);
    await writeFile(envFile, split.file, { mode: 0o600 });
  }
  const args = createArguments(part, {
    name,
    labels: { ...attempt.labels, 'skipjack.part': logName ?? 'main' },
    limits: allowed.limits,
    capabilities: policy.capabilities,
    network: networksOf(attempt).first,
    alias: kind === 'sidecar' ? (logName ?? '').replace(/^sidecar /, '') : null,
    gpus: kind === 'main' ? allowed.gpus : null,
    mounts: attempt.mounts,
    volumes: attempt.volumes,
    envNames: Object.keys(split.env),
    envFile,
    withStdin: kind === 'main' && attempt.spec.stdin !== undefined,
  });
  return { args, env: split.env };
}

/** A container that has been started and is listened to. */
export interface Running {
  ended: Promise<{ exitCode: number }>;
  stdout: () => string;
  stderr: () => string;
  /** Reads what is left without waiting for the log. */
  hurry: () => void;
  cli: CliProcess;
}

/** Starts a container; everything that it says goes, masked, to the log. */
export function startContainer(attempt: Attempt, container: Container): Running {
  const { runtime, spec, context } = attempt;
  const { log, mask } = context;
  const input = container.kind === 'main' ? spec.stdin : undefined;
  const args = ['start', '--attach', ...(input === undefined ? [] : ['--interactive']), container.name];
  const cli = runtime.start(args, input === undefined ? {} : { input });
  const stdout = new HeadCapture(outputBytesMax);
  const stderr = new TailCapture(stderrBytesMax);
  const readers = [
    readStream(cli.stdout, { capture: stdout, log: log.open('stdout', container.logName), mask }),
    readStream(cli.stderr, { capture: stderr, log: log.open('stderr', container.logName), mask }),
  ];
  const ended = cli.ended.then((end) => {
    for (const reader of readers) reader.end();
    return { exitCode: end.kind === 'exited' ? end.exitCode : 255 };
  });
  const hurry = () => {
    for (const reader of readers) reader.hurry();
  };
  return { ended, stdout: () => stdout.text(), stderr: () => stderr.text(), hurry, cli };
}

/** Runs a container to its end, or stops it when the attempt is stopped, its time is up, or `alsoStop` is aborted. */
export async function runContainer(
  attempt: Attempt,
  container: Container,
  { timeoutMs = null, alsoStop }: { timeoutMs?: number | null; alsoStop?: AbortSignal } = {},
): Promise<PartEnd> {
  const { runtime, context } = attempt;
  const running = startContainer(attempt, container);
  const sampler = sampleUsage(runtime, container.id);
  const why = await firstOf(running, { signal: context.signal, timeoutMs, alsoStop });
  if (why !== 'ended') {
    sampler.now();
    await stopContainer(attempt, container, running);
  }
  const { exitCode } = await running.ended;
  const figures = sampler.stop();
  const [stdout, stderr] = [running.stdout(), running.stderr()];
  if (why === 'stopped') return { exitCode, stdout, stderr, failure: null, stopped: true, figures };
  if (why === 'timed_out') {
    const limit = formatDuration(timeoutMs ?? 0);
    const failure = new ContainerFailure('part_timed_out', `it was stopped after its timeout of ${limit}`, {
      exitCode,
    });
    return { exitCode, stdout, stderr, failure, stopped: false, figures };
  }
  const failure =
    exitCode === 0 ? null : await howItEnded(attempt, container, { exitCode, stdout, stderr, figures });
  return { exitCode: failure?.exitCode ?? exitCode, stdout, stderr, failure, stopped: false, figures };
}

function firstOf(
  running: Running,
  {
    signal,
    timeoutMs,
    alsoStop,
  }: { signal: AbortSignal; timeoutMs: number | null; alsoStop?: AbortSignal | undefined },
): Promise<'ended' | 'stopped' | 'timed_out'> {
  return new Promise((resolve) => {
    const timer =
      timeoutMs === null ? undefined : setTimeout(() => end('timed_out'), Math.min(timeoutMs, 2 ** 31 - 1));
    const stop = () => end('stopped');
    const end = (why: 'ended' | 'stopped' | 'timed_out') => {
      clearTimeout(timer);
      for (const each of [signal, alsoStop]) each?.removeEventListener('abort', stop);
      resolve(why);
    };
    for (const each of [signal, alsoStop]) {
      if (each?.aborted) stop();
      else each?.addEventListener('abort', stop, { once: true });
    }
    void running.ended.then(() => end('ended'));
  });
}

/** SIGTERM, `killGraceMs`, SIGKILL; and if the runtime does not answer either, its command line is let go. */
async function stopContainer(
  attempt: Attempt,
  { name }: Container,
  { ended, hurry, cli }: Running,
): Promise<void> {
  const { runtime, context } = attempt;
  hurry();
  const until = performance.now() + context.killGraceMs;
  for (let isAsked = false; performance.now() < until; ) {
    if (!isAsked) {
      const end = await runtime.run(['kill', '--signal=TERM', name], { timeoutMs: context.killGraceMs });
      isAsked = end.kind === 'exited' && end.exitCode === 0;
    }
    const leftMs = until - performance.now();
    if (await atMost(isAsked ? leftMs : Math.min(signalAgainMs, leftMs), ended)) return;
  }
  // `rm --force` says SIGKILL too, and the container is of no use any more.
  const end = await runtime.run([...removeArguments(runtime, 'container'), name], { timeoutMs: 10_000 });
  if (end.kind === 'exited' && end.exitCode === 0)
    attempt.containers = attempt.containers.filter((each) => each !== name);
  if (await atMost(afterKillMs, ended)) return;
  cli.kill();
  await atMost(afterKillMs, ended);
}
