/**
 * What can go wrong with containers, each with a code of its own and a sentence that says what to do.
 *
 * The command lines have no codes: what happened is read from their words, which are those of docker's daemon, of
 * podman, and of registries.
 */
import type { Json } from '../../../core/json.ts';
import type { TaskError } from '../../../core/task.ts';
import { storableMessage } from '../../storable.ts';
import type { Ending } from '../executor.ts';
import type { CliEnd, ContainerRuntime } from './runtime.ts';

/** Ends the attempt as failed. */
export class ContainerFailure extends Error {
  readonly code: string;
  readonly details: Json | undefined;
  readonly retry: boolean | undefined;
  readonly exitCode: number | null;

  constructor(
    code: string,
    message: string,
    more: { details?: Json; retry?: boolean; exitCode?: number | null } = {},
  ) {
    super(storableMessage(message));
    this.name = 'ContainerFailure';
    this.code = code;
    this.details = more.details;
    this.retry = more.retry;
    this.exitCode = more.exitCode ?? null;
  }

  toError(): TaskError {
    const { code, message, details } = this;
    return { code, message, ...(details === undefined ? {} : { details }) };
  }

  toEnding(): Extract<Ending, { kind: 'failed' }> {
    const { retry, exitCode } = this;
    return { kind: 'failed', error: this.toError(), exitCode, ...(retry === undefined ? {} : { retry }) };
  }
}

/** The attempt was asked to stop before it came to its end. */
export class Stopped extends Error {}

export function throwIfStopped(signal: AbortSignal): void {
  if (signal.aborted) throw new Stopped();
}

/** What the task asks for and its worker does not give. Trying again would not help. */
export function notAllowed(what: string): ContainerFailure {
  return new ContainerFailure(
    'not_allowed',
    `${what}. What containers may have is for the policy of the worker to say, not for the task`,
    { retry: false },
  );
}

/** What no runtime could make a container of. */
export function invalid(what: string): ContainerFailure {
  return new ContainerFailure('container_spec_invalid', what, { retry: false });
}

const unreachablePattern =
  /cannot connect to the docker daemon|error during connect|failed to connect to the docker api|is the docker daemon running|permission denied while trying to connect|cannot connect to podman|unable to connect to podman|connection reset by peer|unexpected eof|dial unix/i;

/** Whether a command failed because its daemon is away; the reasons that it quotes say "no such host", "not found". */
export function saysUnreachable(stderr: string): boolean {
  return unreachablePattern.test(stderr);
}

/** Why a command that should not fail did: the daemon is away, or it did not like what it was asked. */
export function runtimeFailure(runtime: ContainerRuntime, doing: string, end: CliEnd): ContainerFailure {
  if (end.kind === 'not_started') {
    if (/\bE2BIG\b/.test(end.message)) {
      return invalid(
        'its arguments and variables are together longer than the system gives to a program; put them into "files"',
      );
    }
    return new ContainerFailure(
      'container_runtime_unreachable',
      `this worker cannot run ${JSON.stringify(runtime.file)} (${end.message}); install docker or podman where it runs, or set SKIPJACK_CONTAINER_RUNTIME`,
    );
  }
  if (end.kind !== 'exited') {
    return new ContainerFailure(
      'container_runtime_unreachable',
      `${runtime.kind} did not answer in time while ${doing}; look at its daemon where this worker runs`,
    );
  }
  const said = saidBy(end.stderr);
  if (saysUnreachable(end.stderr)) {
    return new ContainerFailure(
      'container_runtime_unreachable',
      `${runtime.kind} cannot be reached from this worker while ${doing}: ${said}. Start its daemon, or let the worker's user use it`,
    );
  }
  return new ContainerFailure('container_failed_to_start', `${runtime.kind} failed while ${doing}: ${said}`);
}

export function isUnreachable({ code }: ContainerFailure): boolean {
  return code === 'container_runtime_unreachable';
}

/** Why a pull failed, told from what the registry is quoted with. */
export function pullFailure(runtime: ContainerRuntime, image: string, end: CliEnd): ContainerFailure {
  if (end.kind !== 'exited' || saysUnreachable(end.stderr.replaceAll(image, ''))) {
    return runtimeFailure(runtime, `pulling ${image}`, end);
  }
  const said = saidBy(end.stderr);
  // An image may well be called "denied", or its registry listen on port 4010.
  const words = end.stderr.replaceAll(image, '').replaceAll(withoutTag(image), '');
  if (/denied|unauthorized|authentication required|no basic auth|forbidden|\b401\b|\b403\b/i.test(words)) {
    return new ContainerFailure(
      'registry_refused',
      `the registry refused ${image}: ${said}. Check the name, and the username and password under "registry"`,
    );
  }
  if (
    /not found|manifest unknown|name unknown|\b404\b|invalid reference format|does not exist/i.test(words)
  ) {
    return new ContainerFailure(
      'image_not_found',
      `there is no image ${image}: ${said}. Check its name and tag`,
    );
  }
  return new ContainerFailure('image_pull_failed', `the image ${image} could not be pulled: ${said}`);
}

function withoutTag(image: string): string {
  return image.replace(/@.*$/, '').replace(/:[^/:]*$/, '');
}

/** The last thing a command line said, without its preamble. */
export function saidBy(stderr: string): string {
  const lines = stderr
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^(See ['"]|Run ['"]|Usage:)/.test(line));
  const at = lines.findLastIndex((each) => /^(error|docker|cannot|failed|permission)/i.test(each));
  // "2 errors occurred:" and then what they were.
  const line = lines[at]?.endsWith(':') ? lines.slice(at, at + 3).join(' ') : (lines[at] ?? lines.at(-1));
  return shorten(
    (line ?? 'it gave no reason').replace(/^(docker: )?(Error: |Error response from daemon: )+/i, ''),
  );
}

function shorten(text: string): string {
  return text.length > 500 ? `${text.slice(0, 500).toWellFormed()}…` : text;
}
