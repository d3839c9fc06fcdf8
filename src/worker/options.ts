import { hostname } from 'node:os';
import { type Logger, pino } from 'pino';
import { newId } from '../core/ids.ts';
import type { TaskSource } from '../core/task-source.ts';
import type { ContainerRuntime } from './executors/container/runtime.ts';
import type { Executors } from './executors/pick.ts';
import type { Handler } from './handler.ts';
import { defaultPolicy, type WorkerPolicy } from './policy.ts';

export interface WorkerOptions {
  /** Where tasks come from: a database or a server. */
  source: TaskSource;
  /** `default`, `containers` where there is a runtime, and the names of the handlers, if left out. */
  queues?: string[];
  /** Functions that run tasks, by the name that tasks call them. */
  handlers?: Record<string, Handler>;
  /** Runs containers: see `findContainerRuntime`. Null, the default: this worker runs none. */
  containerRuntime?: ContainerRuntime | null;
  /** In place of the built-in ways to run tasks, by the type of their spec. */
  executors?: Executors;
  /** What tasks may do here; `defaultPolicy` where nothing is said. */
  policy?: WorkerPolicy;
  /** How many attempts run at once: 1 to 1000, 10 by default. */
  slots?: number;
  /** How long a claim holds without a heartbeat; 30 s by default, at least 1 s. */
  leaseMs?: number;
  /** How long `stop` waits for what runs; 30 s by default. */
  graceMs?: number;
  /** From asking an attempt to stop to killing it; 5 s by default. */
  killGraceMs?: number;
  /** The beginning of the worker's id, as people see it; the host's name by default. */
  name?: string;
  version?: string;
  /** What `context.log` of a handler writes to; stderr by default. */
  log?: Logger;
}

export interface CheckedOptions extends Required<Omit<WorkerOptions, 'name'>> {
  /** Unique: hints and announcements of two workers on one host must not be taken for each other's. */
  id: string;
  /** How long after a task's timeout its worker may still be busy stopping it. */
  timeoutGraceMs: number;
}

/** After killing: until pipes are read, containers are gone, the log and the outcome have reached the server. */
const settleGraceMs = 15_000;

/** Fills in the defaults. @throws RangeError for what a worker cannot work with. */
export function checkOptions({
  source,
  handlers = {},
  containerRuntime = null,
  executors = {},
  policy = defaultPolicy,
  queues = [
    'default',
    ...(containerRuntime !== null || executors.container !== undefined ? ['containers'] : []),
    ...Object.keys(handlers),
  ],
  slots = 10,
  leaseMs = 30_000,
  graceMs = 30_000,
  killGraceMs = 5_000,
  name = hostname(),
  version = '',
  log = pino(pino.destination(2)),
}: WorkerOptions): CheckedOptions {
  checkInteger('slots', slots, 1, 1_000);
  checkInteger('leaseMs', leaseMs, 1_000, 86_400_000);
  checkInteger('graceMs', graceMs, 0, 86_400_000);
  checkInteger('killGraceMs', killGraceMs, 0, 3_600_000);
  if (queues.length === 0) throw new RangeError('queues: a worker needs one queue at least');
  return {
    id: `${name}-${process.pid}-${newId().slice(-6)}`,
    source,
    handlers,
    containerRuntime,
    executors,
    policy,
    queues: [...new Set(queues)],
    slots,
    leaseMs,
    graceMs,
    killGraceMs,
    timeoutGraceMs: killGraceMs + settleGraceMs,
    version,
    log,
  };
}

function checkInteger(name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new RangeError(`${name}: ${value} is not a whole number from ${min} to ${max}`);
}
