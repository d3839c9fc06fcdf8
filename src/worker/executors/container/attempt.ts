/** What the parts of one attempt share, and what of it must be gone when it ends. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ContainerSpec } from '../../../core/spec.ts';
import { writeOwner } from '../../leftovers/owner.ts';
import type { ContainerPolicy } from '../../policy.ts';
import type { ExecutionContext, RunnableTask } from '../executor.ts';
import type { Allowed } from './allowed.ts';
import type { Labels } from './labels.ts';
import type { CheckedMount } from './mounts.ts';
import type { ContainerRuntime } from './runtime.ts';

export interface Attempt {
  runtime: ContainerRuntime;
  policy: ContainerPolicy;
  task: RunnableTask;
  spec: ContainerSpec;
  context: ExecutionContext;
  allowed: Allowed;
  mounts: CheckedMount[];
  labels: Labels;
  /** The beginning of the name of everything that it makes. */
  prefix: string;
  /** Names of what has been made, or may have been: noted before the runtime is asked. */
  containers: string[];
  /** With the paths where they are mounted. */
  volumes: [name: string, path: string][];
  network: string | null;
  /** A command that makes something was given up: the daemon may still carry it out. */
  isUncertain: boolean;
  /** Nobody but the worker's user reads in it. Made when first needed. */
  folder: string | null;
}

export function newPrefix(taskId: string): string {
  // The beginning of a UUIDv7 is the time: tasks made together have it in common.
  return `skipjack-${taskId.replaceAll('-', '').slice(-8)}-${randomBytes(4).toString('hex')}`;
}

/** In the folder for temporary files; then six characters. */
export const privateFolderPrefix = 'skipjack-container-';

export async function privateFolder(attempt: Attempt): Promise<string> {
  if (attempt.folder === null) {
    attempt.folder = await mkdtemp(join(tmpdir(), privateFolderPrefix));
    // Else a sweep would take it by its age: too late once this worker was killed, too early in a long attempt.
    writeOwner(attempt.folder, { task: attempt.task.id, group: null });
  }
  return attempt.folder;
}

export async function removePrivateFolder({ folder }: Attempt): Promise<void> {
  if (folder !== null) await rm(folder, { recursive: true, force: true, maxRetries: 2 }).catch(() => {});
}

export function labelArguments(attempt: Attempt): string[] {
  return Object.entries(attempt.labels).map(([name, value]) => `--label=${name}=${value}`);
}
