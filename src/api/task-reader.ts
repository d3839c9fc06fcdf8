/**
 * Reads whole tasks for all requests of this server: those that ask in the same moment share one query. Each
 * request that changes a task answers what became of it, so there are as many reads as writes.
 */
import { createBatcher } from '../core/batching.ts';
import type { Database } from '../database/connection.ts';
import { type AttemptView, readAttemptsOf } from '../queue/dead-letters.ts';
import { readTasks, type TaskView } from '../queue/read-tasks.ts';
import { notFound } from './http/problem.ts';

/** Inputs and outputs may have a megabyte each: not too many at once. */
const tasksPerQueryMax = 50;
/** Each may have a thousand attempts with their outputs. */
const attemptsOfMax = 10;

export type TaskWithAttempts = TaskView & { attempts: AttemptView[] };

export interface TaskReader {
  /** @throws SkipjackError `not_found`. */
  read(id: string): Promise<TaskView>;
  readWithAttempts(id: string): Promise<TaskWithAttempts>;
}

export function createTaskReader(db: Database): TaskReader {
  const reads = createBatcher({
    flush: (ids: string[]) => readTasks(db, ids),
    itemsMax: tasksPerQueryMax,
    lanes: 4,
  });
  const attemptReads = createBatcher({
    flush: (ids: string[]) => readAttemptsOf(db, ids),
    itemsMax: attemptsOfMax,
    lanes: 2,
  });

  async function read(id: string): Promise<TaskView> {
    const task = await reads.add(id);
    if (!task) throw notFound('task', id);
    return task;
  }

  return {
    read,
    async readWithAttempts(id) {
      const [task, attempts] = await Promise.all([read(id), attemptReads.add(id)]);
      return { ...task, attempts };
    },
  };
}
