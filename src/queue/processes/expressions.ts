/**
 * The expressions of a claimed task: what they ask for is at hand or is read, the values are put in. An expression
 * that fails is an answer, for the queue to settle the task with.
 */
import type { Json } from '../../core/json.ts';
import type { TaskError } from '../../core/task.ts';
import type { ClaimedItem, ProcessContext } from '../../core/task-source.ts';
import type { Database } from '../../database/connection.ts';
import { FillFailure } from '../../expression/fill-failure.ts';
import { type FilledTask, fillTask, type TaskTemplate } from '../../expression/task-template.ts';
import { type Asked, readAsked, type TaskOutput } from './read-outputs.ts';

/** A task's template, and what it asks of other tasks. */
export interface Asking {
  template: TaskTemplate;
  asks: Asked[];
}

/** What a task's expressions are filled with. */
export interface ToFill {
  process: ProcessContext | null;
  item: ClaimedItem | null;
  /** In place of the template's. */
  input: { value: Json } | null;
  find: (ordinal: number) => TaskOutput | undefined;
}

export async function fillExpressions(
  db: Database,
  { template, asks }: Asking,
  { process, item, input: given, find }: ToFill,
): Promise<FilledTask | { error: TaskError }> {
  const task = await readAsked(db.pool, asks, find);
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
