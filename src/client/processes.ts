import type { Json } from '../core/json.ts';
import type { TaskError } from '../core/task.ts';
import { type CallOptions, type Calls, part, waitForEnd, wire } from './calls.ts';
import type { Call } from './request.ts';
import type {
  Page,
  Process,
  ProcessEvent,
  ProcessFilter,
  ProcessRetried,
  ProcessSummary,
  TaskEndedByName,
  TaskSummary,
} from './views.ts';

/** What to start: a published definition by its name, one in hand as an object, or one as text. */
export interface ProcessStart {
  definition?: string | { [key: string]: Json } | undefined;
  /** YAML or JSON, in place of `definition`. */
  source?: string | undefined;
  /** Of a published definition; the newest by default. */
  version?: number | undefined;
  /** An object, checked against the rules of the definition. */
  input?: Json | undefined;
  /** The same key and the same request: the same process. */
  idempotencyKey?: string | undefined;
}

/** What a move on a process may bring along. */
export interface MoveOptions extends CallOptions {
  /** Who asks, for the record. */
  by?: string | undefined;
  /** The `revision` that you have seen: `precondition_failed` when the process has moved since. */
  ifRevision?: number | undefined;
}

export interface ProcessClient {
  /**
   * Starts a process. With `waitMs` (at most 60 s) answers when it has ended, or when the wait is over.
   *
   * @throws SkipjackError `not_found` for a name that is not published, `invalid_definition`, `invalid_input`,
   * `idempotency_conflict`.
   */
  startProcess(start: ProcessStart, options?: CallOptions & { waitMs?: number }): Promise<Process>;
  getProcess(id: string, options?: CallOptions): Promise<Process>;
  /** Waits as long as it takes, at most `waitMs`, for the process to end. Answers it as it then is. */
  waitForProcess(id: string, options: CallOptions & { waitMs: number }): Promise<Process>;
  /** Newest first, 50 a page unless `limit` says otherwise; `next_cursor` is null on the last page. */
  listProcesses(
    filter?: ProcessFilter,
    page?: Page & CallOptions,
  ): Promise<{ processes: ProcessSummary[]; next_cursor: string | null }>;
  /** In the order of the definition. */
  listProcessTasks(
    id: string,
    page?: Page & CallOptions,
  ): Promise<{ tasks: TaskSummary[]; next_cursor: string | null }>;
  /** What happened, oldest first. */
  listProcessEvents(
    id: string,
    page?: Page & CallOptions,
  ): Promise<{ events: ProcessEvent[]; next_cursor: string | null }>;

  /**
   * Completes an active task that nobody has claimed, by its name or its place; the same again answers the same.
   *
   * @throws SkipjackError `already_claimed` with the holder, `already_settled`, `not_active` with what it needs.
   */
  completeTaskByName(
    id: string,
    task: string,
    options?: MoveOptions & { output?: Json | undefined },
  ): Promise<TaskEndedByName>;
  /** Fails it for good: its retry policy is not asked. */
  failTaskByName(
    id: string,
    task: string,
    options: MoveOptions & { error: string | ({ message: string } & Partial<TaskError>) },
  ): Promise<TaskEndedByName>;

  /** What waits is cancelled in the answer; what runs was asked to stop. */
  cancelProcess(id: string, options?: MoveOptions): Promise<Process>;
  /**
   * Goes on with a failed process from what failed. `inputs`: by names of failed tasks, what they get in place of the
   * input of the definition.
   *
   * @throws SkipjackError `not_failed`, `has_parent` with the `root_id` to retry, `compensated`, `invalid_input`.
   */
  retryProcess(
    id: string,
    options?: MoveOptions & { inputs?: Record<string, Json> | undefined },
  ): Promise<ProcessRetried>;
  pauseProcess(id: string, options?: MoveOptions): Promise<Process>;
  resumeProcess(id: string, options?: MoveOptions): Promise<Process>;
  /** Deletes the record of a process that has ended. */
  deleteProcess(id: string, options?: Omit<MoveOptions, 'by'>): Promise<void>;
}

export function createProcessClient(calls: Calls): ProcessClient {
  async function move<Body>(path: string, { by, ifRevision, signal, ...body }: MoveOptions & object) {
    const call = { method: 'POST', body: { ...body, by }, headers: ifMatch(ifRevision), signal } as const;
    return (await calls.request<Body>(path, call)).body;
  }

  return {
    async startProcess({ idempotencyKey, ...start }, { waitMs, signal } = {}) {
      const body = { ...start, idempotency_key: idempotencyKey };
      const call = { method: 'POST', body, query: { wait: wire(waitMs) }, signal } as const;
      return (await calls.request<Process>('/v1/processes', call)).body;
    },
    getProcess: (id, options) => calls.get(processPath(id), {}, options),
    waitForProcess: (id, options) => waitForEnd(calls, processPath(id), options),
    listProcesses: (
      { parentProcessId, createdAfter, createdBefore, ...filter } = {},
      { signal, ...page } = {},
    ) =>
      calls.get(
        '/v1/processes',
        {
          ...filter,
          parent_process_id: parentProcessId,
          created_after: createdAfter,
          created_before: createdBefore,
          ...page,
        },
        { signal },
      ),
    listProcessTasks: (id, { signal, ...page } = {}) =>
      calls.get(`${processPath(id)}/tasks`, page, { signal }),
    listProcessEvents: (id, { signal, ...page } = {}) =>
      calls.get(`${processPath(id)}/events`, page, { signal }),

    completeTaskByName: (id, task, options = {}) =>
      move(`${processPath(id)}/tasks/${part(task)}/complete`, options),
    failTaskByName: (id, task, options) => move(`${processPath(id)}/tasks/${part(task)}/fail`, options),

    cancelProcess: (id, options = {}) => move(`${processPath(id)}/cancel`, options),
    retryProcess: (id, options = {}) => move(`${processPath(id)}/retry`, options),
    pauseProcess: (id, options = {}) => move(`${processPath(id)}/pause`, options),
    resumeProcess: (id, options = {}) => move(`${processPath(id)}/resume`, options),
    deleteProcess: (id, { ifRevision, signal } = {}) =>
      calls.delete(processPath(id), { headers: ifMatch(ifRevision), signal }),
  };
}

function ifMatch(revision: number | undefined): NonNullable<Call['headers']> {
  return revision === undefined ? {} : { 'if-match': `"${revision}"` };
}

function processPath(id: string): string {
  return `/v1/processes/${part(id)}`;
}
