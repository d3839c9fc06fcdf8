import type { Database } from '../../database/connection.ts';
import { type LogFilter, type LogPlace, type LogSubject, logBeginning } from './subject.ts';

/** Chunks looked at in one statement, and statements. */
const stepChunks = 500;
const stepsMax = 200;

interface CountedRow {
  id: string;
  within: string;
  first_line: number;
  line_count: number;
  /** Of its lines those that pass the filter. */
  fitting: number;
}

/** The place before the last `count` lines that pass the filter, read from the end. */
export async function findTail(
  db: Database,
  subject: LogSubject,
  { count, filter = {} }: { count: number; filter?: LogFilter },
): Promise<LogPlace> {
  let left = count;
  let end: { within: number; firstLine: number } = {
    within: Number.MAX_SAFE_INTEGER,
    firstLine: 2_147_483_647,
  };
  for (let steps = 0; steps < stepsMax; steps += 1) {
    const rows = await readBackwards(db, subject, end, filter);
    for (const row of rows) {
      const within = Number(row.within);
      if (row.fitting > left) return placeIn(db, row, { left, filter });
      left -= row.fitting;
      end = { within, firstLine: row.first_line };
      if (left === 0) return { within, line: row.first_line - 1 };
    }
    if (rows.length < stepChunks) return logBeginning;
  }
  return { within: end.within, line: end.firstLine - 1 };
}

/** Before the last `left` lines of this chunk. */
async function placeIn(
  db: Database,
  row: CountedRow,
  { left, filter }: { left: number; filter: LogFilter },
): Promise<LogPlace> {
  const within = Number(row.within);
  const lastLine = row.first_line + row.line_count - 1;
  if (filter.stream === undefined) return { within, line: lastLine - left };
  const { rows } = await db.pool.query<{ place: number }>(
    `select said.place::integer as place
     from skipjack.task_logs as chunk
     cross join lateral jsonb_array_elements(chunk.lines) with ordinality as said (line, place)
     where chunk.id = $1 and said.line ->> 1 = $2
     order by said.place desc offset $3 limit 1`,
    [row.id, filter.stream, left],
  );
  return { within, line: row.first_line - 1 + (rows[0]?.place ?? 0) };
}

async function readBackwards(
  db: Database,
  { what, id }: LogSubject,
  end: { within: number; firstLine: number },
  { attempt, stream }: LogFilter,
): Promise<CountedRow[]> {
  const { within, condition, order } =
    what === 'task'
      ? {
          within: 'claim_no',
          condition: 'task_id = $1::uuid and (claim_no, first_line) < ($2::bigint, $3::bigint)',
          order: 'claim_no desc, first_line desc',
        }
      : {
          within: 'id',
          condition: `process_id is not null and $3::bigint >= 0
            and (process_id, id) >= ($1::uuid, 0::bigint) and (process_id, id) < ($1::uuid, $2::bigint)`,
          order: 'process_id desc, id desc',
        };
  const { rows } = await db.pool.query<CountedRow>(
    `with near as materialized (
       select ${within}::bigint as within, id, first_line, line_count
       from skipjack.task_logs
       where ${condition} and ($4::integer is null or attempt = $4::integer)
       order by ${order} limit ${stepChunks}
     )
     select near.*, case when $5::text is null then near.line_count else (
       select count(*)::integer
       from skipjack.task_logs as chunk
       cross join lateral jsonb_array_elements(chunk.lines) as line
       where chunk.id = near.id and line ->> 1 = $5::text) end as fitting
     from near
     order by near.within desc, near.first_line desc`,
    [id, end.within, end.firstLine, attempt ?? null, stream ?? null],
  );
  return rows;
}
