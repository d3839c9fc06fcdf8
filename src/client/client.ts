/**
 * The HTTP API as functions: typed, over `fetch` alone, one call each. Nothing is repeated here; what failed is
 * thrown as a SkipjackError with the server's code, problems and further members.
 */
import { formatDuration } from '../core/durations.ts';
import type { Json } from '../core/json.ts';
import type { TaskError } from '../core/task.ts';
import type { TaskInput } from '../core/task-input.ts';
import { type Connection, createRequest } from './request.ts';
import type {
  ClaimedTaskView,
  DeadLetter,
  DeadLetterFilter,
  DeadLetterSummary,
  Enqueued,
  Extended,
  Health,
  Page,
  QueueView,
  Settled,
  Stats,
  Task,
  TaskFilter,
  TaskSummary,
  TaskWithAttempts,
  WorkerView,
} from './views.ts';
import type { WireResult, WireSettlement } from './wire.ts';

/** One long-poll waits at most so long at the server; longer waits are made of several. */
const waitMsMax = 60_000;

/** May be given to every call. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
}

export interface ClaimOptions extends CallOptions {
  queues: string[];
  /** At most so many tasks; 1 by default. */
  limit?: number;
  /** Who claims, as people will see it. */
  worker?: string;
  /** How long the claim holds without a heartbeat; 30 s by default, 1 s to 24 h. */
  leaseMs?: number;
  /** Waits so long for something to come, at most 60 s; 0 by default. */
  waitMs?: number;
  /** A UUID of your own: the same one answers the same still-held tasks, should an answer get lost. */
  claimId?: string;
  /** Only tasks of this name. */
  name?: string;
  /** Only tasks with this label: `key` or `key=value`. */
  label?: string;
}

export interface Client {
  /** Enqueues a task. With `waitMs` (at most 60 s) answers when it has ended, or when the wait is over. */
  enqueue(task: TaskInput, options?: CallOptions & { waitMs?: number }): Promise<Task>;
  /** Up to 1,000 tasks, each judged alone: look at every result. */
  enqueueBatch(tasks: TaskInput[], options?: CallOptions): Promise<Enqueued[]>;
  getTask(id: string, options?: CallOptions): Promise<TaskWithAttempts>;
  /** Waits as long as it takes, at most `waitMs`, for the task to end. Answers the task as it then is. */
  waitForTask(id: string, options: CallOptions & { waitMs: number }): Promise<TaskWithAttempts>;
  /** Newest first, 50 a page unless `limit` says otherwise; `next_cursor` is null on the last page. */
  listTasks(
    filter?: TaskFilter,
    page?: Page & CallOptions,
  ): Promise<{ tasks: TaskSummary[]; next_cursor: string | null }>;
  /** A waiting task is cancelled in the answer; a running one was asked to stop. */
  cancelTask(id: string, options?: CallOptions): Promise<Task>;
  /** Deletes the record of a task that has ended. */
  deleteTask(id: string, options?: CallOptions): Promise<void>;

  claim(options: ClaimOptions): Promise<ClaimedTaskView[]>;
  /** Claims that one task. @throws SkipjackError `already_claimed` with holder and lease end; `not_claimable`. */
  claimTask(
    id: string,
    options?: Pick<ClaimOptions, 'worker' | 'leaseMs' | 'claimId' | 'signal'>,
  ): Promise<ClaimedTaskView>;
  complete(task: Held, options?: CallOptions & { output?: Json }): Promise<Settled>;
  /** `retry: false`: final, whatever the retry policy says. */
  fail(task: Held, options: CallOptions & { error: string | TaskError; retry?: boolean }): Promise<Settled>;
  /** Gives a claimed task back, nothing counted; with `delayMs` not to be claimed before that. */
  release(task: Held, options?: CallOptions & { delayMs?: number }): Promise<Settled>;
  /** Extends the lease. @throws SkipjackError `lease_lost` when it is no longer held. */
  heartbeat(task: Held, options?: CallOptions & { leaseMs?: number }): Promise<Extended>;
  /** A batch of outcomes, each judged alone. */
  settle(settlements: WireSettlement[], options?: CallOptions): Promise<WireResult[]>;

  listDeadLetters(
    filter?: DeadLetterFilter & { replayed?: boolean | undefined },
    page?: Page & CallOptions,
  ): Promise<{ dead_letters: DeadLetterSummary[]; next_cursor: string | null }>;
  getDeadLetter(id: string, options?: CallOptions): Promise<DeadLetter>;
  /** Puts it back on its queue with a new budget of attempts. */
  replayDeadLetter(id: string, options?: CallOptions): Promise<Task>;
  /** Up to `limit` (1,000) at once, oldest first; answers the ids. `dryRun` only says which. */
  replayDeadLetters(
    filter?: DeadLetterFilter,
    options?: CallOptions & { limit?: number; dryRun?: boolean },
  ): Promise<string[]>;
  deleteDeadLetter(id: string, options?: CallOptions): Promise<void>;

  listQueues(options?: CallOptions): Promise<QueueView[]>;
  setQueuePaused(
    name: string,
    paused: boolean,
    options?: CallOptions,
  ): Promise<Pick<QueueView, 'name' | 'paused'>>;
  listWorkers(options?: CallOptions): Promise<WorkerView[]>;
  readStats(options?: CallOptions): Promise<Stats>;
  /** @throws SkipjackError `database_unreachable` or `schema_outdated` when the server cannot work. */
  checkHealth(options?: CallOptions): Promise<Health>;
}

/** A claim: the id of its task, and its token. */
export type Held = Pick<ClaimedTaskView, 'id' | 'token'>;

/** Speaks to one server. @throws SkipjackError `usage` for a URL that is none. */
export function createClient(connection: Connection): Client {
  const request = createRequest(connection);

  async function get<Body>(path: string, query = {}, { signal }: CallOptions = {}): Promise<Body> {
    return (await request<Body>(path, { query, signal })).body;
  }

  async function post<Body>(path: string, body: unknown, { signal }: CallOptions = {}): Promise<Body> {
    return (await request<Body>(path, { method: 'POST', body, signal })).body;
  }

  return {
    async enqueue(task, { waitMs, signal } = {}) {
      const query = { wait: waitMs === undefined ? undefined : wire(waitMs) };
      return (await request<Task>('/v1/tasks', { method: 'POST', body: task, query, signal })).body;
    },
    async enqueueBatch(tasks, options) {
      return (await post<{ results: Enqueued[] }>('/v1/tasks/batch', { tasks }, options)).results;
    },
    getTask: (id, options) => get(taskPath(id), {}, options),
    async waitForTask(id, { waitMs, signal }) {
      const until = performance.now() + waitMs;
      for (;;) {
        const leftMs = Math.max(0, until - performance.now());
        const query = { wait: wire(Math.min(leftMs, waitMsMax)) };
        const { status, body } = await request<TaskWithAttempts>(taskPath(id), { query, signal });
        if (status === 200 || performance.now() >= until) return body;
      }
    },
    listTasks: ({ createdAfter, createdBefore, ...filter } = {}, { signal, ...page } = {}) =>
      get(
        '/v1/tasks',
        { ...filter, created_after: createdAfter, created_before: createdBefore, ...page },
        { signal },
      ),
    cancelTask: (id, options) => post(`${taskPath(id)}/cancel`, undefined, options),
    async deleteTask(id, { signal } = {}) {
      await request(taskPath(id), { method: 'DELETE', signal });
    },

    async claim({ leaseMs, waitMs, claimId, signal, ...rest }) {
      const body = { ...rest, lease: wire(leaseMs), wait: wire(waitMs), claim_id: claimId };
      return (await post<{ tasks: ClaimedTaskView[] }>('/v1/tasks/claim', body, { signal })).tasks;
    },
    claimTask: (id, { worker, leaseMs, claimId, signal } = {}) =>
      post(`${taskPath(id)}/claim`, { worker, lease: wire(leaseMs), claim_id: claimId }, { signal }),
    complete: ({ id, token }, { output, ...options } = {}) =>
      post(`${taskPath(id)}/complete`, { token, output }, options),
    fail: ({ id, token }, { error, retry, ...options }) =>
      post(`${taskPath(id)}/fail`, { token, error, retry }, options),
    release: ({ id, token }, { delayMs, ...options } = {}) =>
      post(`${taskPath(id)}/release`, { token, delay: wire(delayMs) }, options),
    heartbeat: ({ id, token }, { leaseMs, ...options } = {}) =>
      post(`${taskPath(id)}/heartbeat`, { token, lease: wire(leaseMs) }, options),
    async settle(settlements, options) {
      return (await post<{ results: WireResult[] }>('/v1/tasks/settle', { settlements }, options)).results;
    },

    listDeadLetters: ({ failedAfter, failedBefore, ...filter } = {}, { signal, ...page } = {}) =>
      get(
        '/v1/dead-letters',
        { ...filter, failed_after: failedAfter, failed_before: failedBefore, ...page },
        { signal },
      ),
    getDeadLetter: (id, options) => get(letterPath(id), {}, options),
    replayDeadLetter: (id, options) => post(`${letterPath(id)}/replay`, undefined, options),
    async replayDeadLetters({ failedAfter, failedBefore, ...filter } = {}, { limit, dryRun, signal } = {}) {
      const body = {
        ...filter,
        failed_after: failedAfter,
        failed_before: failedBefore,
        limit,
        dry_run: dryRun,
      };
      return (await post<{ ids: string[] }>('/v1/dead-letters/replay', body, { signal })).ids;
    },
    async deleteDeadLetter(id, { signal } = {}) {
      await request(letterPath(id), { method: 'DELETE', signal });
    },

    async listQueues(options) {
      return (await get<{ queues: QueueView[] }>('/v1/queues', {}, options)).queues;
    },
    async setQueuePaused(name, paused, { signal } = {}) {
      const path = `/v1/queues/${encodeURIComponent(name)}`;
      return (await request<QueueView>(path, { method: 'PATCH', body: { paused }, signal })).body;
    },
    async listWorkers(options) {
      return (await get<{ workers: WorkerView[] }>('/v1/workers', {}, options)).workers;
    },
    readStats: (options) => get('/v1/stats', {}, options),
    checkHealth: (options) => get('/health', {}, options),
  };
}

function taskPath(id: string): string {
  return `/v1/tasks/${encodeURIComponent(id)}`;
}

function letterPath(id: string): string {
  return `/v1/dead-letters/${encodeURIComponent(id)}`;
}

/** A duration as the server reads it; what was left out stays out. */
function wire<Ms extends number | undefined>(ms: Ms) {
  return (ms === undefined ? undefined : formatDuration(Math.round(ms))) as Ms extends number
    ? string
    : undefined;
}
