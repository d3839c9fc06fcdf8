/** Containers beside the others: started first, waited for until they are ready, watched until the end. */
import { setTimeout as pause } from 'node:timers/promises';
import { formatDuration, parseDuration } from '../../../core/durations.ts';
import type { Sidecar } from '../../../core/spec.ts';
import { atMost } from '../../at-most.ts';
import { lastLine } from '../last-line.ts';
import type { Attempt } from './attempt.ts';
import { ContainerFailure, invalid, Stopped, throwIfStopped } from './errors.ts';
import { howItEnded } from './how-it-ended.ts';
import { makeNetwork } from './network.ts';
import { type Container, makeContainer, type Running, startContainer } from './part.ts';
import { tryProbe } from './probe.ts';

const intervalMsDefault = 500;
const timeoutMsDefault = 60_000;
const runningPollMs = 50;
/** For the command line to notice that its container is gone. */
const lastWordsMs = 2_000;

interface Started {
  container: Container;
  running: Running;
  sidecar: Sidecar;
}

export interface Sidecars {
  /** Aborted, with the `ContainerFailure` as its reason, when one of them ends before it is asked to. */
  exited: AbortSignal;
  /** Says that they are about to be removed: how they end is no matter any more. */
  release(): void;
  /** Once they are removed: returns when all that they said is in the log. */
  over(): Promise<void>;
}

/** Nothing is started yet: what has been started must be known to who cleans up, also when starting fails. */
export function newSidecars(attempt: Attempt): Sidecars & { start(): Promise<void> } {
  const exited = new AbortController();
  const started: Started[] = [];
  return {
    exited: exited.signal,
    start: () => startAll(attempt, started, exited),
    release: () => exited.abort(new Stopped()),
    over: () => untilOver(started),
  };
}

/** Starts the attempt's sidecars and waits until all are ready. */
async function startAll(attempt: Attempt, started: Started[], exited: AbortController): Promise<void> {
  const sidecars = attempt.spec.sidecars ?? [];
  if (sidecars.length === 0) return;
  await makeNetwork(attempt);
  for (const [index, sidecar] of sidecars.entries()) {
    const container = await makeContainer(attempt, {
      part: sidecar,
      kind: 'sidecar',
      logName: `sidecar ${sidecar.name}`,
      suffix: `sidecar-${index + 1}`,
    });
    attempt.context.log.say(`starting sidecar ${sidecar.name}`, { stream: 'skipjack' });
    const running = startContainer(attempt, container);
    started.push({ container, running, sidecar });
    void running.ended.then(({ exitCode }) => onExit(attempt, container, { running, exitCode, exited }));
  }
  await Promise.all(started.map((each) => untilReady(attempt, each, exited.signal)));
}

/** @throws ContainerFailure `container_spec_invalid`. */
export function checkSidecars(sidecars: Sidecar[]): void {
  const names = new Set<string>();
  for (const { name } of sidecars) {
    if (!/^[a-z0-9]([a-z0-9_.-]{0,61}[a-z0-9])?$/i.test(name))
      throw invalid(
        `sidecars: ${JSON.stringify(name)} is not a name that other containers could reach it by`,
      );
    if (names.has(name.toLowerCase())) throw invalid(`sidecars: there are two named ${JSON.stringify(name)}`);
    names.add(name.toLowerCase());
  }
}

async function onExit(
  attempt: Attempt,
  container: Container,
  { running, exitCode, exited }: { running: Running; exitCode: number; exited: AbortController },
): Promise<void> {
  if (exited.signal.aborted || attempt.context.signal.aborted) return;
  const name = container.logName ?? '';
  if (exitCode !== 0) {
    const figures = { pidsRefused: 0, isOutOfMemory: false };
    const seen = { exitCode, stdout: '', stderr: running.stderr(), figures };
    const cause = await howItEnded(attempt, container, seen);
    if (cause.code !== 'exit_code') {
      exited.abort(new ContainerFailure('sidecar_exited', `${name}: ${cause.message}`));
      return;
    }
  }
  const last = lastLine(running.stderr());
  const how = `${name} exited with code ${exitCode} before the task had ended`;
  exited.abort(new ContainerFailure('sidecar_exited', last === '' ? how : `${how}: ${last}`));
}

async function untilReady(
  attempt: Attempt,
  { container, sidecar }: Started,
  exited: AbortSignal,
): Promise<void> {
  const { probe } = sidecar;
  const intervalMs = parseDuration(probe?.interval ?? '') ?? intervalMsDefault;
  const timeoutMs = parseDuration(probe?.timeout ?? '') ?? timeoutMsDefault;
  const until = performance.now() + timeoutMs;
  let isRunning = false;
  let answer: string | null = null;
  for (;;) {
    throwIfStopped(attempt.context.signal);
    if (exited.aborted) throw exited.reason;
    const leftMs = until - performance.now();
    if (leftMs <= 0) break;
    isRunning ||= await runs(attempt, container);
    if (isRunning) {
      const said = probe === undefined || (await tryProbe(attempt, container, probe, leftMs));
      if (said === true) return;
      // A try that the end of its time cut short says less than the one before.
      if (answer === null || performance.now() < until) answer = said;
    }
    await pauseUnless(isRunning ? Math.max(intervalMs, 50) : runningPollMs, [attempt.context.signal, exited]);
  }
  throw new ContainerFailure(
    'sidecar_unhealthy',
    `sidecar ${sidecar.name} was not ready within ${formatDuration(timeoutMs)}: ${answer ?? 'it was not started'}`,
  );
}

async function runs({ runtime, context }: Attempt, { name }: Container): Promise<boolean> {
  const end = await runtime.run(['container', 'inspect', '--format={{.State.Running}}', name], {
    signal: context.signal,
  });
  return end.kind === 'exited' && end.stdout.trim() === 'true';
}

async function pauseUnless(ms: number, signals: AbortSignal[]): Promise<void> {
  await pause(ms, undefined, { signal: AbortSignal.any(signals) }).catch(() => {});
}

async function untilOver(started: Started[]): Promise<void> {
  await Promise.all(
    started.map(async ({ running: { ended, cli } }) => {
      if (await atMost(lastWordsMs, ended)) return;
      cli.kill();
      await atMost(lastWordsMs, ended);
    }),
  );
}
