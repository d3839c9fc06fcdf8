/** What an executor is given, for tests that call it themselves. */

import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Json } from '../../../src/core/json.ts';
import type { Spec } from '../../../src/core/spec.ts';
import type { ClaimedTask } from '../../../src/core/task-source.ts';
import { commandExecutor } from '../../../src/worker/executors/command.ts';
import type { Ending, ExecutionContext, RunnableTask } from '../../../src/worker/executors/executor.ts';
import { scriptExecutor } from '../../../src/worker/executors/script.ts';
import { type CommandPolicy, defaultPolicy } from '../../../src/worker/policy.ts';
import type { Mask } from '../../../src/worker/secrets/mask.ts';
import { claimedTask } from './tasks.ts';

/** Hides nothing. */
export const noMask: Mask = {
  stream: () => ({ push: (chunk) => chunk, end: () => Buffer.alloc(0) }),
  text: (text) => text,
  json: (value) => value,
};

export interface Recorded {
  /** The bytes of each stream, as text; the first megabyte and a little more. */
  streams: Record<'stdout' | 'stderr', string>;
  /** Streams that were ended. */
  ended: string[];
  said: { text: string; stream: string | undefined }[];
  progress: Json[];
}

const recordedMax = 1_048_576;

export interface RecordingOptions extends Partial<ExecutionContext> {
  /** Called after it was recorded. */
  onProgress?: (value: Json) => void;
  onSay?: (text: string) => void;
}

/** A context that remembers what it was told. */
export function recordingContext({
  onProgress,
  onSay,
  ...more
}: RecordingOptions = {}): ExecutionContext & { recorded: Recorded } {
  const recorded: Recorded = { streams: { stdout: '', stderr: '' }, ended: [], said: [], progress: [] };
  return {
    signal: new AbortController().signal,
    killGraceMs: 5_000,
    heartbeat: async () => {},
    mask: noMask,
    log: {
      open: (stream) => ({
        write: (chunk) => {
          if (recorded.streams[stream].length < recordedMax) recorded.streams[stream] += chunk.toString();
        },
        end: () => recorded.ended.push(stream),
      }),
      say: (text, options) => {
        recorded.said.push({ text, stream: options?.stream });
        onSay?.(text);
      },
    },
    progress: (value) => {
      recorded.progress.push(value);
      onProgress?.(value);
    },
    recorded,
    ...more,
  };
}

export interface ExecuteOptions extends RecordingOptions {
  policy?: Partial<CommandPolicy>;
  task?: Partial<ClaimedTask>;
}

/** Runs a command or script to its end. */
export async function execute(
  spec: Spec,
  { policy, task, ...context }: ExecuteOptions = {},
): Promise<{ ending: Ending; recorded: Recorded }> {
  const own = { ...defaultPolicy.commands, ...policy };
  const executor = spec.type === 'command' ? commandExecutor(own) : scriptExecutor(own);
  const recording = recordingContext(context);
  const runnable: RunnableTask = { ...claimedTask(null, task), spec };
  const ending = await executor(runnable, recording);
  return { ending, recorded: recording.recorded };
}

/** How it ended, without what was used: on a busy machine any program may live until that is first looked at. */
export function withoutUsage(ending: Ending): Ending {
  const { cpuMs: _cpuMs, memoryPeakBytes: _memoryPeakBytes, ...rest } = ending;
  return rest;
}

/** A folder for the test alone. */
export async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'execution-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Whether the OS process whose pid stands in the file runs (a zombie does not). */
export function isAlive(pidFile: string): boolean {
  try {
    return isPidAlive(Number(readFileSync(pidFile, 'utf8')));
  } catch {
    return false;
  }
}

export function isPidAlive(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

/** Asks again and again until it is so; throws when it never is. */
export async function until(what: string, isSo: () => boolean, ms = 20_000): Promise<void> {
  for (const end = performance.now() + ms; performance.now() < end; ) {
    if (isSo()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`waited ${ms} ms in vain until ${what}`);
}
