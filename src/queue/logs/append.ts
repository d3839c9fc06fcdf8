/**
 * Append: adds lines to the logs of claims, of any number of tasks, in one statement.
 *
 * The work is done by the SQL function `skipjack.append_logs`: it locks each log for the moment of the insert, so that
 * ids grow in the order of commits, and takes only lines of claims that are held (the fence). What was kept before
 * counts once, by the numbers of the lines; so a call whose answer got lost is made again as it was. Two calls about
 * one claim go one after the other: lines below the last one that is kept are taken for ones that are known.
 *
 * Chunks that are large are kept as several rows, so that a reader of a page never reads much more than that page.
 */
import type { LogLine, LogResult } from '../../core/task-source.ts';
import type { Database } from '../../database/connection.ts';

/** Lines of one claim. */
export interface ClaimChunk {
  taskId: string;
  claimNo: number;
  /** Null: behind the last line of the claim. Such a chunk counts each time that it is sent. */
  firstLine: number | null;
  lines: LogLine[];
}

/** What one row holds at most; one longer line stands alone. */
const rowBytesMax = 128 * 1024;
const rowLinesMax = 1_000;
/** What one statement brings at most. */
const statementBytesMax = 4 * 1024 * 1024;
/** A month: later than any worker hands over what it has kept back. */
const agoMsMax = 31 * 24 * 3_600_000;

interface Row {
  /** The place of its chunk. */
  chunk: number;
  bytes: number;
  row: { task_id: string; claim_no: number; first_line: number | null; lines: WireLine[] };
}
type WireLine = [agoMs: number, stream: string, part: string | null, text: string];

/** Answers in the order of `chunks`. One try: on a lost connection nobody knows what was kept. */
export async function appendLogs(db: Database, chunks: ClaimChunk[]): Promise<LogResult[]> {
  const results = chunks.map((): LogResult => ({ kind: 'kept' }));
  for (const rows of intoStatements(chunks.flatMap(intoRows))) {
    const answer = await db.pool.query<{ place: number; outcome: LogResult['kind'] }>(
      'select place, outcome from skipjack.append_logs($1::jsonb)',
      [JSON.stringify(rows.map(({ row }) => row))],
    );
    for (const { place, outcome } of answer.rows) {
      const chunk = rows[place - 1]?.chunk;
      if (chunk !== undefined && outcome !== 'kept') results[chunk] = { kind: outcome };
    }
  }
  return results;
}

function intoRows({ taskId, claimNo, firstLine, lines }: ClaimChunk, chunk: number): Row[] {
  const rows: Row[] = [];
  const open = (offset: number): Row => ({
    chunk,
    bytes: 0,
    row: {
      task_id: taskId,
      claim_no: claimNo,
      first_line: firstLine === null ? null : firstLine + offset,
      lines: [],
    },
  });
  let current = open(0);
  for (const [offset, line] of lines.entries()) {
    const wire = toWire(line);
    const bytes = Buffer.byteLength(wire[3]) + 40;
    const { length } = current.row.lines;
    if (length === rowLinesMax || (length > 0 && current.bytes + bytes > rowBytesMax)) {
      rows.push(current);
      current = open(offset);
    }
    current.row.lines.push(wire);
    current.bytes += bytes;
  }
  return [...rows, current];
}

function* intoStatements(rows: Row[]): Generator<Row[]> {
  let part: Row[] = [];
  let bytes = 0;
  for (const row of rows) {
    if (part.length > 0 && bytes + row.bytes > statementBytesMax) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(row);
    bytes += row.bytes;
  }
  if (part.length > 0) yield part;
}

/** As Postgres takes it, whatever a program wrote: one line that it refuses would fail those of strangers. */
function toWire({ agoMs, stream, part, text }: LogLine): WireLine {
  const ago = Math.round(agoMs);
  return [
    ago > 0 ? Math.min(ago, agoMsMax) : 0,
    stream,
    part === null ? null : storable(part),
    storable(text),
  ];
}

function storable(text: string): string {
  return text.toWellFormed().replaceAll('\u0000', '\ufffd');
}
