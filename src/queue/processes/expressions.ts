/**
 * The expressions of a claimed task: what they ask for is at hand or is read, the values are put in. An expression
 * that fails is an answer, for the queue to settle the task with.
 */
import type { Json } from '../../core/json.ts';
import type { TaskError } from '../../core/task.ts';
import type { ClaimedItem, ProcessContext } from '../../core/task-source.ts';
import type { Database } from '../../database/connection.ts';
import { FillFailure } from '../../expression/fill-failure.ts';
import { ExpressionFailure } from '../../expression/limits.ts';
import type { TaskMember } from '../../expression/node.ts';
import { type FilledTask, fillTask, type TaskTemplate } from '../../expression/task-template.ts';

/** A task that an expression may ask for. */
export interface AncestorRow {
  id: string;
  state: string;
  error: Json;
  attempts: number;
  bytes: number;
  /** Too large to come along with anything: `output` is null, whatever it is. */
  is_large: boolean;
  output: Json;
}

/** A task's template with the ordinals of the tasks that it asks for. */
export interface Asking {
  template: TaskTemplate;
  ordinals: number[];
  /** By name. */
  asks: Map<string, { ordinal: number; members: Set<TaskMember> }>;
}

/** What a task's expressions are filled with. */
export interface ToFill {
  process: ProcessContext | null;
  item: ClaimedItem | null;
  /** In place of the template's. */
  input: { value: Json } | null;
  find: (ordinal: number) => AncestorRow | undefined;
}

/** Of the outputs of one task's expressions that did not come along: they are held while it is filled. */
const largeBytesMax = 16 * 1024 * 1024;

export async function fillExpressions(
  db: Database,
  { template, asks }: Asking,
  { process, item, input: given, find }: ToFill,
): Promise<FilledTask | { error: TaskError }> {
  const outputs = new Map<string, Json>();
  let left = largeBytesMax;
  for (const [name, { ordinal, members }] of asks) {
    const row = find(ordinal);
    if (!row || !members.has('output')) continue;
    if (row.state !== 'completed') outputs.set(name, null);
    else if (!row.is_large) outputs.set(name, row.output);
    else {
      const large = await readLarge(db, row.id, left);
      left -= large.bytes;
      if (left >= 0) outputs.set(name, large.output);
    }
  }
  const task = (name: string, member: TaskMember): Json => {
    const asked = asks.get(name);
    const row = asked && find(asked.ordinal);
    if (!row) throw new ExpressionFailure(`there is no task ${JSON.stringify(name)}`);
    if (member !== 'output') return row[member];
    const output = outputs.get(name);
    if (output !== undefined) return output;
    const message = `the outputs that this task's expressions name are larger than ${largeBytesMax} bytes`;
    throw new ExpressionFailure(message, 'limit');
  };
  const { id = '', definition = null, version = null, input = {} } = process ?? {};
  const scope = { input, process: { id, definition, version }, task, ...(item ? { item } : {}) };
  const asked = given ? { ...template, input: { kind: 'value' as const, value: given.value } } : template;
  try {
    return fillTask(asked, scope, { now: Date.now() });
  } catch (error) {
    if (!(error instanceof FillFailure)) throw error;
    return { error: { code: 'expression_failed', message: error.message, details: error.details } };
  }
}

/** Without the output, if it is larger than `bytesMax`. */
async function readLarge(
  db: Database,
  taskId: string,
  bytesMax: number,
): Promise<{ bytes: number; output: Json }> {
  const { rows } = await db.pool.query<{ bytes: number; output: Json }>(
    `select sized.bytes, case when sized.bytes <= $2 then task.output end as output
     from skipjack.tasks as task
     cross join lateral (select octet_length(task.output::text) as bytes) as sized
     where task.id = $1`,
    [taskId, bytesMax],
  );
  return rows[0] ?? { bytes: 0, output: null };
}
