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
  /** What follows is left out where the definition does not say it: plans of earlier versions have none of it. */
  /** An engine must think about some task of it, or about its end. */
  thinks?: true;
  /** A template. What the process yields; without it, the outputs of its last tasks by name. */
  output?: Json;
  /** Started with what happened, once it has failed. */
  on_failure?: { definition: string; version?: number };
  /** From its start. Past it whatever is left is stopped, and the process has failed. */
  deadline_ms?: number;
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
  /** What follows is left out where the definition does not say it. In all but `if` texts may be templates. */
  /** An engine must think about it before it runs: it has one of the members below. */
  thinks?: true;
  /** An expression, bare. */
  if?: string;
  /** Its `if` calls `always()` or `failure()`: thought about also in a process that fails. */
  runs_on_failure?: true;
  /** Its `if` calls `always()` or `cancelled()`: thought about also in a process that is cancelled. */
  runs_on_cancel?: true;
  /** The items: a list with templates in it, or the text `${{ … }}` that yields one. */
  each?: Json;
  /** The same as every combination of a value of each member: an item is `{member: value, …}`. */
  matrix?: Record<string, Json>;
  /** Items that may be active at once; all of them without it. */
  concurrency?: number;
  /** Items that may fail for good before the task fails; 0 without it. */
  max_failures?: number;
  process?: { definition: string; version?: number; input?: Json; detached?: true };
  /** `for` a duration (`10m`), `until` a time in RFC 3339. */
  sleep?: { for: string } | { until: string };
  wait_for?: { event: string; key?: string; timeout_ms?: number };
  /** It is due so long after its needs have ended, or at a time (RFC 3339). */
  delay_ms?: number;
  run_at?: string;
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
  /** Of one `each` or `matrix`. */
  itemsMax: 10_000,
  /** How deep processes start processes. */
  depthMax: 10,
} as const;
