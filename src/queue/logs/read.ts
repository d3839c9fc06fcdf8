/**
 * Read: pages of the log of a task, in the order of its claims and their lines, or of a process, in the order in
 * which its chunks were committed. Nothing that is committed later ever comes before what was read.
 *
 * Chunks are chosen by their narrow columns, and only those that a page needs are read whole. Index: task_logs_of_claim,
 * task_logs_of_process. Both are read by comparing rows, which is an order that no other index has.
 */
import type { Database } from '../../database/connection.ts';
import { type LogFilter, type LogPlace, type LogSubject, logBeginning } from './subject.ts';

export interface LogEntry {
  place: LogPlace;
  task_id: string;
  /** The name of the task; null when it was deleted meanwhile. */
  task: string | null;
  attempt: number;
  line: number;
  at: string;
  stream: 'stdout' | 'stderr' | 'skipjack';
  part: string | null;
  text: string;
}

export interface LogPage {
  entries: LogEntry[];
  /** Where to go on. */
  last: LogPlace;
  /** There was more at that moment. */
  hasMore: boolean;
}

interface ChunkRow {
  within: string;
  task_id: string;
  task: string | null;
  attempt: number;
  first_line: number;
  at: Date;
  lines: [agoMs: number, stream: LogEntry['stream'], part: string | null, text: string][];
  /** Of chunks that were looked at. */
  near: number;
}

/** Chunks looked at for a page. */
const chunksMax = 200;
/** Of text in a page, but for one longer line. */
const pageBytesMax = 256 * 1024;
/** Looks of one page, which may find no line that passes the filter. */
const looksMax = 100;

export async function readLogPage(
  db: Database,
  subject: LogSubject,
  { after = logBeginning, limit, filter = {} }: { after?: LogPlace; limit: number; filter?: LogFilter },
): Promise<LogPage> {
  const page: LogPage = { entries: [], last: after, hasMore: true };
  for (let looks = 0; page.hasMore && looks < looksMax; looks += 1) {
    const bytes = page.entries.reduce((sum, { text }) => sum + text.length, 0);
    if (page.entries.length >= limit || bytes >= pageBytesMax) break;
    const wanted = limit - page.entries.length;
    // A chunk has a line at least.
    const nearMax = Math.min(wanted, chunksMax);
    const rows = await readChunks(db, subject, { after: page.last, filter, lines: wanted, nearMax });
    page.hasMore = takeLines(page, rows, { limit, filter }) || rows[0]?.near === nearMax;
  }
  return page;
}

/** Adds what the page has room for; answers whether there was more. */
function takeLines(
  page: LogPage,
  rows: ChunkRow[],
  { limit, filter }: { limit: number; filter: LogFilter },
): boolean {
  for (const row of rows) {
    const within = Number(row.within);
    for (const [index, [agoMs, stream, part, text]] of row.lines.entries()) {
      const line = row.first_line + index;
      if (within === page.last.within && line <= page.last.line) continue;
      if (page.entries.length >= limit) return true;
      page.last = { within, line };
      if (filter.stream !== undefined && filter.stream !== stream) continue;
      page.entries.push({
        place: page.last,
        task_id: row.task_id,
        task: row.task,
        attempt: row.attempt,
        line,
        at: new Date(row.at.getTime() - agoMs).toISOString(),
        stream,
        part,
        text,
      });
    }
  }
  const near = rows[0]?.near ?? 0;
  return rows.length < near;
}

/** The chunk that the place is in, if it has more lines, and those behind it, as many as `lines` need; at least one, if there is one. */
async function readChunks(
  db: Database,
  { what, id }: LogSubject,
  { after, filter, lines, nearMax }: { after: LogPlace; filter: LogFilter; lines: number; nearMax: number },
): Promise<ChunkRow[]> {
  const near = what === 'task' ? nearOfTask : nearOfProcess;
  const { rows } = await db.pool.query<ChunkRow>(
    `with near as materialized (
       ${near} limit ${nearMax}
     ), counted as materialized (
       select near.*, count(*) over ()::integer as near_count,
         sum(case when near.within = $2::bigint then near.first_line + near.line_count - 1 - $3::bigint else near.line_count end)
           over earlier as lines_before,
         sum(own.bytes) over earlier as bytes_before
       from near
       cross join lateral (
         select near.bytes_so_far - coalesce((
           select before.bytes_so_far from skipjack.task_logs as before
           where before.task_id = near.task_id and before.claim_no = near.claim_no and before.first_line < near.first_line
           order by before.first_line desc limit 1), 0) as bytes
       ) as own
       window earlier as (order by near.within, near.first_line rows between unbounded preceding and 1 preceding)
     )
     select counted.within, counted.task_id, task.name as task, counted.attempt, counted.first_line, counted.at,
       whole.lines, counted.near_count as near
     from counted
     cross join lateral (select lines from skipjack.task_logs where id = counted.id limit 1) as whole
     left join lateral (select name from skipjack.tasks where id = counted.task_id limit 1) as task on true
     where coalesce(counted.lines_before, 0) < $4 and coalesce(counted.bytes_before, 0) < ${pageBytesMax}
     order by counted.within, counted.first_line`,
    [id, after.within, after.line, lines, filter.attempt ?? null],
  );
  return rows;
}

const nearColumns = 'id, task_id, claim_no, attempt, first_line, line_count, bytes_so_far, at';

const nearOfTask = `
  select claim_no::bigint as within, ${nearColumns}
  from skipjack.task_logs
  where task_id = $1::uuid
    and (claim_no, first_line) >= ($2::bigint, coalesce((
      select first_line from skipjack.task_logs
      where task_id = $1::uuid and claim_no = $2::bigint and first_line <= $3::bigint
      order by first_line desc limit 1), $3::bigint))
    and (claim_no, first_line + line_count - 1) > ($2::bigint, $3::bigint)
    and ($5::integer is null or attempt = $5::integer)
  order by claim_no, first_line`;

const nearOfProcess = `
  select id as within, ${nearColumns}
  from skipjack.task_logs
  where process_id is not null
    and (process_id, id) >= ($1::uuid, $2::bigint) and (process_id, id) <= ($1::uuid, 9223372036854775807)
    and (id, first_line + line_count - 1) > ($2::bigint, $3::bigint) and ($5::integer is null or attempt = $5::integer)
  order by process_id, id`;
