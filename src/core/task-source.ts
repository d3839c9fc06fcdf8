import type { Json } from './json.ts';
import type { SecretText } from './secret-text.ts';
import type { Spec } from './spec.ts';
import type { NewTask, TaskError } from './task.ts';

/** A task in the hands of a worker. */
export interface ClaimedTask {
  id: string;
  /** Names this claim; every later word about the attempt carries it. */
  token: string;
  /** Counted from 1, as people count: failures + losses + 1. */
  attempt: number;
  attempts_max: number;
  name: string;
  queue: string;
  priority: number;
  /** References to secrets are taken apart; the worker puts the values in. */
  spec: Spec<SecretText> | null;
  input: Json;
  labels: Record<string, string> | null;
  /** The process it belongs to. */
  process: ProcessContext | null;
  /** The outputs of its needs by name, those that completed; with `outputs: 'all'`, of every task before it. */
  needs: Record<string, Json>;
  /** Outputs too large to come along: name → id of the task that has it. */
  large_needs: Record<string, string>;
  /** Which of the items of an `each` or `matrix` it is; not there for any other task. */
  item?: ClaimedItem;
  timeout_ms: number | null;
  /** False for a task fetched ahead: the worker says with a heartbeat when it starts. */
  started: boolean;
  /** From being due to being claimed, by the database's clock. */
  wait_ms: number;
  created_at: string;
  lease_expires_at: string;
  /** What was left of the lease when the database answered: clocks of two machines may differ. */
  lease_left_ms: number;
}

export interface ClaimedItem {
  /** From 0. */
  index: number;
  value: Json;
}

export interface ProcessContext {
  id: string;
  /** The name of its definition; null for an inline one without a name. */
  definition: string | null;
  version: number | null;
  input: Json;
}

export interface ClaimRequest {
  /** One at least; no duplicates. */
  queues: string[];
  /** At most this many tasks. */
  limit: number;
  /** How many of them start at once; the rest are held ahead. All by default. */
  startLimit?: number;
  /** Who claims, as people will see it. */
  worker: string;
  leaseMs: number;
  /** How long after a task's timeout the server steps in; a worker that stops its own attempts says how long that may take it. */
  timeoutGraceMs?: number;
  /** Wait so long for something to come; 0 answers at once. */
  waitMs: number;
  /** The same id answers the same still-held tasks, so that a lost answer can be asked for again. A UUID. */
  claimId?: string;
  /** True: nobody has used `claimId` before, so there is nothing to look for. */
  claimIdIsNew?: boolean;
  filter?: ClaimFilter;
  /** Whose outputs come along: direct needs (the default), or all that a task follows from. */
  outputs?: 'direct' | 'all';
  signal?: AbortSignal;
}

export interface ClaimFilter {
  name?: string;
  /** Only tasks of processes of this definition. */
  definition?: string;
  label?: string;
}

/** What an attempt took, as far as its worker can tell. */
export interface Figures {
  exitCode?: number | null;
  runMs?: number | null;
  cpuMs?: number | null;
  memoryPeakBytes?: number | null;
}

/** What ended the attempt, in a worker's words. */
export type Outcome =
  | ({ kind: 'completed'; output: Json } & Figures)
  | ({
      kind: 'failed' | 'timed_out';
      error: TaskError;
      /** False: final, whatever the retry policy says. */
      retry?: boolean;
      /** What the attempt had put out, for people to look at. */
      output?: Json;
    } & Figures)
  /** Stopped because somebody asked for the task to be cancelled. */
  | ({ kind: 'cancelled'; output?: Json } & Figures)
  /** Given back unspent; with `delayMs` not before that, so that what this worker cannot run does not spin. */
  | { kind: 'released'; delayMs?: number };

export type Settlement = { id: string; token: string } & Outcome;

export type SettleResult =
  /** `state` is the task's now: `active` when it will be tried again or was given back. `repeated`: it had been settled so before. */
  | {
      kind: 'settled';
      state: 'active' | 'completed' | 'failed' | 'cancelled';
      nextTryAt: string | null;
      repeated: boolean;
    }
  /** Somebody else may hold the task now; nothing was changed. */
  | { kind: 'lease_lost' }
  /** The task has ended otherwise; nothing was changed. */
  | { kind: 'already_settled'; state: string }
  | { kind: 'not_found' }
  | { kind: 'token_mismatch' }
  /** The database could not store the values of this one. */
  | { kind: 'invalid'; message: string };

/** What an attempt says of how far it is, as JSON text in UTF-8. The server refuses what is longer. */
export const progressBytesMax = 1_024;

export interface Lease {
  id: string;
  token: string;
  /** True: the attempt has started (matters for a task held ahead). */
  started: boolean;
  /** How far it is, if that has changed: small JSON, a number is per cent. */
  progress?: Json;
}

export type HeartbeatResult =
  | { kind: 'extended'; leaseExpiresAt: string }
  /** Locked by another for the moment; the lease may still stand. Beat again. */
  | { kind: 'busy' }
  /** Stop the attempt and settle it: it was asked to be cancelled, or its time is up. */
  | { kind: 'stop'; reason: 'cancelled' | 'timed_out' }
  /** The claim is no longer ours. Stop the attempt and say nothing. */
  | { kind: 'gone' };

/** A line of an attempt's log. */
export interface LogLine {
  /** How long before the chunk is handed over it was said: the database's clock says when that was. */
  agoMs: number;
  /** `skipjack`: what the worker itself says, of a pull or of lines that were cut. */
  stream: 'stdout' | 'stderr' | 'skipjack';
  /** Which part of a container task spoke: `pre download`, `post 1`, `sidecar db`; null: the task's own program. */
  part: string | null;
  /** Without its newline. */
  text: string;
}

export interface LogChunk {
  id: string;
  token: string;
  /** The number of the first line, counted from 1 in each claim, so that the same chunk twice counts once. */
  firstLine: number;
  lines: LogLine[];
}

export type LogResult =
  | { kind: 'kept' }
  /** The log of this claim has grown to the server's bound; nothing more of it is kept. */
  | { kind: 'full' }
  /** Somebody else may hold the task, or it has ended; nothing was kept. */
  | { kind: 'lease_lost' };

export type EnqueueResult =
  | { kind: 'created'; id: string }
  /** The idempotency key had made this task before, by the same request. */
  | { kind: 'existing'; id: string }
  /** The key was used by another request. */
  | { kind: 'key_conflict'; id: string }
  /** Another transaction holds the key and did not end in time. */
  | { kind: 'key_busy' }
  /** The database could not store this one. */
  | { kind: 'invalid'; message: string };

export interface WorkerInfo {
  id: string;
  host: string;
  pid: number;
  queues: string[];
  slots: number;
  version: string;
}

/**
 * Where a worker's tasks come from and where their outcomes go.
 *
 * Two implementations: `queue/task-source.ts` over the database, `client/task-source.ts` over HTTP. Each call
 * reconnects and repeats by itself what is safe to repeat, until its source is ended. What it throws as a
 * SkipjackError with a status of 4xx is a refusal and final; anything else may pass, and a worker's outcomes are
 * handed over again.
 */
export interface TaskSource {
  claim(request: ClaimRequest): Promise<ClaimedTask[]>;
  /** Answers in the order of `settlements`. */
  settle(settlements: Settlement[]): Promise<SettleResult[]>;
  /** Answers in the order of `leases`. */
  heartbeat(
    leases: Lease[],
    options: { leaseMs: number; timeoutGraceMs?: number },
  ): Promise<HeartbeatResult[]>;
  enqueue(tasks: NewTask[]): Promise<EnqueueResult[]>;
  /** The output of an ended task: one that was too large to come along with a claim. */
  readOutput(taskId: string): Promise<Json>;
  /**
   * Adds to the logs of claims; answers in the order of `chunks`. Not repeated by itself: who calls knows how old
   * its lines are when it calls again.
   */
  appendLogs(chunks: LogChunk[]): Promise<LogResult[]>;
  /** Whether each of these claims is still held; and the id of the database that says so. */
  findHeld(claims: { id: string; token: string }[]): Promise<{ instance: string; held: boolean[] }>;
  /** Says that this worker lives. Called every few seconds. */
  announceWorker(worker: WorkerInfo): Promise<void>;
  removeWorker(id: string): Promise<void>;
  /** Calls back when the server has something for this worker to stop; a hint to beat at once, nothing more. */
  onStopHint(worker: string, listener: () => void): () => void;
}
