/** Definitions as the model of the process language has them: only what it decides on. Imports nothing of ours. */

export type Value = null | boolean | number | string | Value[] | { [name: string]: Value };

export type Status = 'always' | 'failure' | 'success' | 'cancelled' | 'not failure' | 'failure or cancelled';

/** What an expression asks for: the process's input, or the output of a task that comes before. */
export type Asked =
  /** Of the input: true, false, a number, a list. */
  { of: 'input'; member: 'yes' | 'no' | 'three' | 'list' } | { of: 'output'; ordinal: number };

export interface Condition {
  status: Status | null;
  /** Both must hold. */
  and: Asked | null;
}

export interface ListPlan {
  from: Asked | { of: 'text'; items: Value[] };
  /** Written as `matrix`, of two members. */
  isMatrix: boolean;
  concurrency: number | null;
  failuresMax: number;
}

export interface LanguageTask {
  /** Its place, from 1. */
  ordinal: number;
  name: string;
  needs: number[];
  continueOnError: boolean;
  attemptsMax: number;
  isDelayed: boolean;
  condition: Condition | null;
  list: ListPlan | null;
  kind: 'run' | 'process' | 'sleep' | 'event';
  /** Which plan; null: one that is not there. */
  child: { plan: number | null; isDetached: boolean } | null;
  /** For which event it waits; null: for that of its item. */
  key: string | null;
  hasTimeout: boolean;
  /** What its workers bring. */
  yields: 'truth' | 'list' | 'text';
}

export interface LanguagePlan {
  failFast: boolean;
  tasks: LanguageTask[];
  /** Made of the input and of the output of the first task. `fails`: of what is not there. */
  output: null | 'fine' | 'fails';
  /** Which plan; `nobody`: one that is not there. */
  onFailure: null | number | 'nobody';
  hasDeadline: boolean;
}

export function runsOnFailure({ condition }: LanguageTask): boolean {
  return ['always', 'failure', 'not failure', 'failure or cancelled'].includes(condition?.status ?? '');
}

export function runsOnCancel({ condition }: LanguageTask): boolean {
  return ['always', 'cancelled', 'failure or cancelled'].includes(condition?.status ?? '');
}

export function isCleanUp(task: LanguageTask): boolean {
  return runsOnFailure(task) || runsOnCancel(task);
}

/** An engine must think about it before it runs, whatever has become of its needs. */
export function thinks(task: LanguageTask): boolean {
  return task.condition !== null || task.list !== null || itemThinks(task);
}

export function itemThinks(task: LanguageTask): boolean {
  return task.kind !== 'run' || task.isDelayed;
}

/** All that come before it. */
export function ancestorsOf(plan: LanguagePlan, ordinal: number): Set<number> {
  const found = new Set<number>();
  const visit = (each: number) => {
    for (const need of plan.tasks[each - 1]?.needs ?? [])
      if (!found.has(need)) {
        found.add(need);
        visit(need);
      }
  };
  visit(ordinal);
  return found;
}
