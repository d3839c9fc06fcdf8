import type { TaskInput } from '../core/task-input.ts';
import { type CallOptions, type Calls, part, waitForEnd, wire } from './calls.ts';
import type { Enqueued, Page, Task, TaskFilter, TaskSummary, TaskWithAttempts } from './views.ts';

export interface TaskClient {
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
}

export function createTaskClient(calls: Calls): TaskClient {
  return {
    async enqueue(task, { waitMs, signal } = {}) {
      const call = { method: 'POST', body: task, query: { wait: wire(waitMs) }, signal } as const;
      return (await calls.request<Task>('/v1/tasks', call)).body;
    },
    async enqueueBatch(tasks, options) {
      return (await calls.post<{ results: Enqueued[] }>('/v1/tasks/batch', { tasks }, options)).results;
    },
    getTask: (id, options) => calls.get(taskPath(id), {}, options),
    waitForTask: (id, options) => waitForEnd(calls, taskPath(id), options),
    listTasks: ({ processId, createdAfter, createdBefore, ...filter } = {}, { signal, ...page } = {}) =>
      calls.get(
        '/v1/tasks',
        {
          ...filter,
          process_id: processId,
          created_after: createdAfter,
          created_before: createdBefore,
          ...page,
        },
        { signal },
      ),
    cancelTask: (id, options) => calls.post(`${taskPath(id)}/cancel`, undefined, options),
    deleteTask: (id, options) => calls.delete(taskPath(id), options),
  };
}

export function taskPath(id: string): string {
  return `/v1/tasks/${part(id)}`;
}
