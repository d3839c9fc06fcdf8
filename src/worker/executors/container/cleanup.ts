/** Everything an attempt made is gone before its end is told. */
import { setTimeout as pause } from 'node:timers/promises';
import { type Attempt, removePrivateFolder } from './attempt.ts';
import { runtimeFailure, saidBy, saysUnreachable } from './errors.ts';
import type { CliEnd, ContainerRuntime } from './runtime.ts';

/** A volume or network may be in use for a moment after its container was removed. */
const triesMax = 4;
const retryMs = 300;
const callTimeoutMs = 15_000;
/** All of it: a daemon that hangs must not hold the worker's slot. */
const cleanupMsMax = 20_000;
/** How long the daemon may take for what it was asked to make by a command that was given up. */
const uncertainMs = 1_000;

export async function cleanUp(attempt: Attempt): Promise<void> {
  const until = performance.now() + cleanupMsMax;
  const { runtime } = attempt;
  const left: string[] = [];
  if (attempt.isUncertain) await pause(uncertainMs);
  await removeThings(runtime, 'container', await namesOf(attempt, 'container'), until, left);
  await Promise.all([
    removeThings(runtime, 'volume', await namesOf(attempt, 'volume'), until, left),
    removeThings(runtime, 'network', await namesOf(attempt, 'network'), until, left),
  ]);
  await removePrivateFolder(attempt);
  for (const each of left)
    attempt.context.log.say(`could not be removed, and is left to a later sweep: ${each}`, {
      stream: 'skipjack',
    });
}

export type Thing = 'container' | 'volume' | 'network';

/** By the names that were given, and after a trouble also by label: what the daemon says is there. */
async function namesOf(attempt: Attempt, thing: Thing): Promise<string[]> {
  const given = {
    container: attempt.containers,
    volume: attempt.volumes.map(([name]) => name),
    network: attempt.network === null ? [] : [attempt.network],
  }[thing];
  if (!attempt.isUncertain) return given;
  const label = `skipjack.token=${attempt.labels['skipjack.token']}`;
  const found = await listNames(attempt.runtime, thing, label).catch(() => []);
  const own = found.filter((name) => name.startsWith(attempt.prefix));
  return [...new Set([...given, ...own])];
}

/** Names of the things with a label. @throws ContainerFailure when the runtime does not say. */
export async function listNames(runtime: ContainerRuntime, thing: Thing, label: string): Promise<string[]> {
  const filter = `--filter=label=${label}`;
  const args = {
    container: ['ps', '--all', filter, '--format={{.Names}}'],
    volume: ['volume', 'ls', filter, '--format={{.Name}}'],
    network: ['network', 'ls', filter, '--format={{.Name}}'],
  }[thing];
  const end = await runtime.run(args);
  if (end.kind !== 'exited' || end.exitCode !== 0) throw runtimeFailure(runtime, `listing ${thing}s`, end);
  return end.stdout
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

/** The arguments before the names. Kills what still runs: podman would ask it first, and wait for ten seconds. */
export function removeArguments({ kind }: ContainerRuntime, thing: Thing): string[] {
  if (thing === 'container')
    return ['rm', '--force', '--volumes', ...(kind === 'podman' ? ['--time=0'] : [])];
  return thing === 'volume' ? ['volume', 'rm', '--force'] : ['network', 'rm'];
}

/**
 * Removes them, with a few tries; adds to `left` what is still there and why. All in one call; after a trouble each by
 * itself, for podman removes none of several when one of them has gone already.
 */
export async function removeThings(
  runtime: ContainerRuntime,
  thing: Thing,
  names: string[],
  until: number,
  left: string[],
): Promise<void> {
  if (names.length === 0) return;
  if (names.length > 1) {
    if (wentWell(await remove(runtime, thing, names, until))) return;
    for (const name of names) await removeThings(runtime, thing, [name], until, left);
    return;
  }
  let end: CliEnd = { kind: 'timed_out' };
  for (let tries = 1; tries <= triesMax && performance.now() < until; tries += 1) {
    end = await remove(runtime, thing, names, until);
    if (wentWell(end) || isGone(end)) return;
    if (tries < triesMax) await pause(Math.min(retryMs * tries, Math.max(0, until - performance.now())));
  }
  const why = end.kind === 'exited' ? saidBy(end.stderr) : 'the runtime did not answer';
  left.push(`${thing} ${names.join(', ')} (${why})`);
}

function remove(runtime: ContainerRuntime, thing: Thing, names: string[], until: number): Promise<CliEnd> {
  const timeoutMs = Math.max(1, Math.min(callTimeoutMs, until - performance.now()));
  return runtime.run([...removeArguments(runtime, thing), ...names], { timeoutMs });
}

/** docker says "Error" and exits with 0 when one was not there. */
function wentWell(end: CliEnd): boolean {
  return end.kind === 'exited' && end.exitCode === 0 && !/^error/im.test(end.stderr);
}

/** It is as good when there was nothing to remove. */
function isGone(end: CliEnd): boolean {
  if (end.kind !== 'exited' || saysUnreachable(end.stderr)) return false;
  return /no such|not found|no container with/i.test(end.stderr);
}
