/**
 * How tasks ended and what they put out: for expressions that ask for it, for tasks that need it. Read once, however
 * many ask; large outputs one by one, for one task at a time.
 */
import { crashPoint } from '../../core/crash-point.ts';
import type { Json } from '../../core/json.ts';
import type { TaskError, TaskState } from '../../core/task.ts';
import type { Queryable } from '../../database/connection.ts';
import type { Scope } from '../../expression/evaluate.ts';
import { ExpressionFailure } from '../../expression/limits.ts';
import type { TaskMember } from '../../expression/node.ts';

export type TaskPlace = [processId: string, ordinal: number];

/** For maps by place. */
export function keyOf(...[processId, ordinal]: TaskPlace): string {
  return `${ordinal} ${processId}`;
}

export interface TaskOutput {
  process_id: string;
  ordinal: number;
  id: string;
  name: string;
  state: TaskState;
  error: TaskError | null;
  attempts: number;
  bytes: number;
  /** Too large to come along with the others: `output` is null, whatever it is. */
  is_large: boolean;
  output: Json;
}

/** What expressions ask of another task. */
export interface Asked {
  name: string;
  ordinal: number;
  members: Set<TaskMember>;
}

/** Of one output, and of all that come along at once, as JSON. */
export const outputLimits = { bytesMax: 1024 * 1024, bytesOfAllMax: 16 * 1024 * 1024 } as const;

/** Of the large outputs that one task's expressions name: they are held while it is filled, or decided. */
const largeBytesMax = 16 * 1024 * 1024;

/**
 * What is stored in more than the bound is not even unpacked, and of all together only the smallest come, as many
 * as may be handed over.
 */
export async function readOutputs(session: Queryable, places: TaskPlace[]): Promise<TaskOutput[]> {
  if (places.length === 0) return [];
  const { bytesMax, bytesOfAllMax } = outputLimits;
  const { rows } = await session.query<TaskOutput>(
    `select found.process_id, found.ordinal, found.id, found.name, found.state, found.error, found.attempts,
       found.is_large,
       case when found.is_large then ${bytesMax + 1} else found.bytes end as bytes,
       case when not found.is_large then found.output end as output
     from (
       select task.process_id, task.ordinal, task.id, task.name, task.state, task.error, task.output, sized.bytes,
         task.failures + task.losses + (task.state = 'completed')::integer as attempts,
         sized.bytes > ${bytesMax} or sum(sized.bytes) over (order by sized.bytes rows unbounded preceding)
           > ${bytesOfAllMax} as is_large
       from unnest($1::uuid[], $2::integer[]) as wanted (process_id, ordinal)
       cross join lateral (
         select * from skipjack.tasks where process_id = wanted.process_id and ordinal = wanted.ordinal limit 1
       ) as task
       cross join lateral (
         select case when task.output is null then 0
           when pg_column_size(task.output) > ${bytesMax} then ${bytesMax + 1}
           else octet_length(task.output::text) end as bytes
       ) as sized
     ) as found`,
    columnsOf(places),
  );
  return rows;
}

/** What expressions may ask of the tasks that they name, for `evaluate`. */
export async function readAsked(
  session: Queryable,
  asks: Asked[],
  find: (ordinal: number) => TaskOutput | undefined,
): Promise<Scope['task']> {
  const asked = new Map<string, { row: TaskOutput; output: Json | undefined }>();
  let left = largeBytesMax;
  for (const { name, ordinal, members } of asks) {
    const row = find(ordinal);
    if (!row) continue;
    let output: Json | undefined = row.state === 'completed' ? row.output : null;
    if (row.state === 'completed' && row.is_large && members.has('output')) {
      const large = await readLargeOutput(session, row.id, left);
      crashPoint('engine_large_output_read');
      left -= large.bytes;
      output = left >= 0 ? large.output : undefined;
    }
    asked.set(name, { row, output });
  }
  return (name, member) => {
    const found = asked.get(name);
    if (!found) throw new ExpressionFailure(`there is no task ${JSON.stringify(name)}`);
    if (member !== 'output') return found.row[member] as Json;
    if (found.output !== undefined) return found.output;
    const message = `the outputs that this task's expressions name are larger than ${largeBytesMax} bytes`;
    throw new ExpressionFailure(message, 'limit');
  };
}

/** Without the output, if it is larger than `bytesMax`. */
async function readLargeOutput(
  session: Queryable,
  taskId: string,
  bytesMax: number,
): Promise<{ bytes: number; output: Json }> {
  const { rows } = await session.query<{ bytes: number; output: Json }>(
    `select sized.bytes, case when sized.bytes <= $2 then task.output end as output
     from skipjack.tasks as task
     cross join lateral (select coalesce(octet_length(task.output::text), 0) as bytes) as sized
     where task.id = $1`,
    [taskId, bytesMax],
  );
  return rows[0] ?? { bytes: 0, output: null };
}

export function columnsOf(places: TaskPlace[]): [string[], number[]] {
  return [places.map(([id]) => id), places.map(([, ordinal]) => ordinal)];
}
