/**
 * A plan: a definition after checking and normalising, stored with it and never changed. What the engine and the
 * queue read; `definition/` makes it from text.
 */
import type { Json } from './json.ts';
import type { Spec } from './spec.ts';
import type { RetryPolicy } from './task.ts';

export interface Plan {
  name: string | null;
  /** False: when a task fails for good, branches that do not need it are finished first. */
  fail_fast: boolean;
  /** By name; null: the definition says nothing of its input, and any object is accepted. */
  input: Record<string, InputRule> | null;
  /** In the order of the text. A task's *ordinal* is its place here, counted from 1. */
  tasks: PlannedTask[];
}

export const inputTypes = ['string', 'number', 'integer', 'boolean', 'object', 'array', 'any'] as const;
export type InputType = (typeof inputTypes)[number];

/** Checked by the SQL function `skipjack.check_input`, whoever starts the process. */
export interface InputRule {
  type: InputType;
  required: boolean;
  default?: Json;
  enum?: Json[];
  description?: string;
}

export interface PlannedTask {
  name: string;
  queue: string;
  priority: number;
  spec: Spec | null;
  input: Json;
  labels: Record<string, string> | null;
  retry: RetryPolicy | null;
  timeout_ms: number | null;
  /** True: what needs this task runs also when it has failed. */
  continue_on_error: boolean;
  /** Ordinals of the tasks that must end first, each once, ascending. */
  needs: number[];
  /** Ordinals of the tasks that need this one, each once, ascending. */
  dependents: number[];
}

/** Bounds of a definition. */
export const planLimits = {
  sourceBytesMax: 2 * 1024 * 1024,
  tasksMax: 10_000,
  needsMax: 100_000,
  inputsMax: 200,
  expressionsMax: 20_000,
  /** Of all that differ, together. */
  expressionLettersMax: 512 * 1024,
} as const;
