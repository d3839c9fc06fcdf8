/** Whose log is read: a task's, or that of all tasks of a process; and where in it a reader is. */
import { hasProcessEnded, type ProcessState } from '../../core/process.ts';
import { hasEnded, type TaskState } from '../../core/task.ts';
import type { Database } from '../../database/connection.ts';

export interface LogSubject {
  what: 'task' | 'process';
  id: string;
}

/**
 * Behind a line. Of a task's log: the number of its claim, and its own in that claim. Of a process's: the id of its
 * chunk, and the same.
 */
export interface LogPlace {
  within: number;
  line: number;
}

export const logBeginning: LogPlace = { within: 0, line: 0 };

export interface LogFilter {
  attempt?: number;
  stream?: 'stdout' | 'stderr' | 'skipjack';
}

/** What is known of the end of a log. */
export interface LogNews {
  /** Of the newest chunk; null when nothing was said yet. */
  lastId: number | null;
  /** Of the task or process; null when there is none such, or not any more. */
  state: string | null;
  /** Nothing more will be said, unless it is replayed. */
  isEnded: boolean;
}

/**
 * Answers in the order of `subjects`. All of it is of one moment: who reads a log after it was seen to have ended
 * reads all of it.
 */
export async function lookAtLogs(db: Database, subjects: LogSubject[]): Promise<LogNews[]> {
  // Compared as rows, an order over (process_id, id) is not one over id: nothing tempts Postgres to walk all ids.
  const { rows } = await db.pool.query<{ state: string | null; last_id: string | null }>(
    `select coalesce(task.state, process.state) as state, last.id as last_id
     from unnest($1::text[], $2::uuid[]) with ordinality as wanted (what, id, place)
     left join lateral (
       select state from skipjack.tasks where id = wanted.id and wanted.what = 'task' limit 1
     ) as task on true
     left join lateral (
       select state from skipjack.processes where id = wanted.id and wanted.what = 'process' limit 1
     ) as process on true
     left join lateral (
       (select id from skipjack.task_logs as chunk
        where wanted.what = 'task' and chunk.task_id = wanted.id
        order by chunk.claim_no desc, chunk.first_line desc limit 1)
       union all
       (select id from skipjack.task_logs as chunk
        where wanted.what = 'process' and chunk.process_id is not null
          and (chunk.process_id, chunk.id) >= (wanted.id, 0::bigint)
          and (chunk.process_id, chunk.id) <= (wanted.id, 9223372036854775807)
        order by chunk.process_id desc, chunk.id desc limit 1)
       limit 1
     ) as last on true
     order by wanted.place`,
    [subjects.map(({ what }) => what), subjects.map(({ id }) => id)],
  );
  return rows.map(({ state, last_id }, index) => ({
    lastId: last_id === null ? null : Number(last_id),
    state,
    isEnded: state === null || isOver(subjects[index]?.what ?? 'task', state),
  }));
}

export async function lookAtLog(db: Database, subject: LogSubject): Promise<LogNews> {
  const [news] = await lookAtLogs(db, [subject]);
  return news ?? { lastId: null, state: null, isEnded: true };
}

function isOver(what: LogSubject['what'], state: string): boolean {
  return what === 'task' ? hasEnded(state as TaskState) : hasProcessEnded(state as ProcessState);
}
