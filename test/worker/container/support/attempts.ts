/** Attempts of container tasks on the real runtime, and what they said. After each test nothing of them is left. */
import { afterEach, expect } from 'vitest';
import { newId } from '../../../../src/core/ids.ts';
import type { Json } from '../../../../src/core/json.ts';
import type { ContainerSpec } from '../../../../src/core/spec.ts';
import type { ClaimedTask } from '../../../../src/core/task-source.ts';
import { containerExecutor } from '../../../../src/worker/executors/container/container.ts';
import type { ContainerRuntime } from '../../../../src/worker/executors/container/runtime.ts';
import type { Ending } from '../../../../src/worker/executors/executor.ts';
import type { AttemptLog } from '../../../../src/worker/logs/attempt-log.ts';
import { type ContainerPolicy, defaultPolicy } from '../../../../src/worker/policy.ts';
import type { Mask } from '../../../../src/worker/secrets/mask.ts';
import { AttemptStopped } from '../../../../src/worker/stop-reason.ts';
import { cli, findTestRuntime, leftovers, testImage } from '../../../support/docker.ts';
import { claimedTask } from '../../support/tasks.ts';

export const runtime = (await findTestRuntime()) as ContainerRuntime;
export const isMissing = runtime === null;

/** Of this test file: another's things may be there at the same time. */
export const instance = newId();

export const place = `place-of-${instance}`;

afterEach(() => {
  if (!isMissing) expect(leftovers(instance), 'what attempts left behind').toEqual([]);
});

export interface Options {
  policy?: Partial<ContainerPolicy>;
  signal?: AbortSignal;
  killGraceMs?: number;
  task?: Partial<ClaimedTask>;
  mask?: Mask;
  runtime?: ContainerRuntime;
  /** False: lines are told to `onLine` and forgotten. */
  keepLines?: boolean;
  /** Called with each line that the attempt says. */
  onLine?: (line: Line) => void;
  onProgress?: (value: Json) => void;
}

export interface Line {
  part: string | null;
  stream: string;
  text: string;
}

export interface Ran {
  ending: Ending;
  lines: Line[];
  progress: Json[];
  taskId: string;
}

export const plainMask: Mask = {
  stream: () => ({ push: (chunk) => chunk, end: () => Buffer.alloc(0) }),
  text: (text) => text,
  json: (value) => value,
};

export function container(spec: Partial<ContainerSpec>): ContainerSpec {
  return { type: 'container', image: testImage, ...spec };
}

/** Runs one attempt to its end. */
export async function run(spec: Partial<ContainerSpec>, options: Options = {}): Promise<Ran> {
  const lines: Line[] = [];
  const progress: Json[] = [];
  const task = claimedTask(container(spec), { token: newId().replaceAll('-', ''), ...options.task });
  const execute = containerExecutor({
    runtime: options.runtime ?? runtime,
    policy: { ...defaultPolicy.containers, ...options.policy },
    worker: 'test-worker',
    place,
    instance: async () => instance,
  });
  const ending = await execute(task as Parameters<typeof execute>[0], {
    signal: options.signal ?? new AbortController().signal,
    killGraceMs: options.killGraceMs ?? 1_000,
    heartbeat: async () => {},
    log: recordingLog((line) => {
      if (options.keepLines !== false) lines.push(line);
      options.onLine?.(line);
    }),
    mask: options.mask ?? plainMask,
    progress: (value) => {
      progress.push(value);
      options.onProgress?.(value);
    },
  });
  return { ending, lines, progress, taskId: task.id };
}

/** Makes a file in the main container that runs: what its program waits for. */
export function touchInMain(path: string): void {
  const filters = [`--filter=label=skipjack.instance=${instance}`, '--filter=label=skipjack.part=main'];
  cli('exec', cli('ps', ...filters, '--format={{.Names}}'), 'touch', path);
}

/** Runs one attempt and stops it when it says `text`. */
export async function runAndStopAt(text: string, spec: Partial<ContainerSpec>, options: Options = {}) {
  const stop = new AbortController();
  const ran = await run(spec, {
    ...options,
    signal: stop.signal,
    onLine: (line) => {
      if (line.text.includes(text)) stop.abort(new AttemptStopped('cancelled'));
    },
  });
  expect(stop.signal.aborted, `it said "${text}"`).toBe(true);
  return ran;
}

function recordingLog(onLine: (line: Line) => void): AttemptLog {
  return {
    say(text, { stream = 'stdout', part = null as string | null } = {} as never) {
      for (const each of text.split('\n')) onLine({ part, stream, text: each });
    },
    open(stream, part = undefined) {
      let rest = '';
      const add = (text: string) => onLine({ part: part ?? null, stream, text });
      return {
        write(chunk) {
          const pieces = (rest + chunk.toString('utf8')).split('\n');
          // No test says so much that it matters to whom it belongs; the memory test would notice.
          rest = pieces.pop() ?? '';
          for (const piece of pieces) add(piece);
        },
        end() {
          if (rest !== '') add(rest);
        },
      };
    },
  };
}

export function said(ran: Ran, stream = 'stdout'): string[] {
  return ran.lines
    .filter((line) => line.stream === stream)
    .map(({ part, text }) => (part === null ? text : `${part}: ${text}`));
}

export { cli };
