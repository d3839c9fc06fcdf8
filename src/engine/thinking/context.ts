/** What one turn of the engine knows, handed from step to step. */
import type { Plan } from '../../core/plan.ts';
import type { Transaction } from '../../database/connection.ts';
import type { Hint } from '../../database/hints.ts';
import type { DueThought, ThoughtTask } from '../../queue/processes/due-thoughts.ts';
import type { ProcessStanding } from '../../queue/processes/read-standing.ts';
import type { Acts } from './acts.ts';

/** One transaction. */
export interface Turn {
  /** The processes it has locked. */
  ids: string[];
  plans: Map<string, Plan>;
  /** Only this row of the inbox; null: all that is due. */
  only: string | null;
  /** By `performance.now()`; what is not decided until then is left for the next turn. */
  endsAt: number;
  /** Tasks that have tried to wait for events, and may have locked them until the commit. */
  waits: number;
  hints: Hint[];
}

/** One look into the inbox, and what comes of it. */
export interface Round {
  tx: Transaction;
  turn: Turn;
  processes: Map<string, ProcessStanding>;
  acts: Acts;
}

/** Rows of which each may bring a megabyte: so many in one round, the rest in the next. */
export const bulkyMax = 50;

/**
 * Tasks of one transaction that begin to wait for events. Each locks its event, and Postgres has room for some
 * thousands of locks (`max_locks_per_transaction`), for all who are connected.
 */
export const waitsMax = 250;

/** A row about a task that waits for just that. */
export type TaskThought = DueThought & { task_id: string; task: ThoughtTask };

export function processOf({ processes }: Round, { process_id }: { process_id: string }): ProcessStanding {
  const process = processes.get(process_id);
  if (!process) throw new Error(`process ${process_id} is locked, and not there`);
  return process;
}

export function planOf({ turn }: Round, { definition_id }: { definition_id: string }): Plan {
  const plan = turn.plans.get(definition_id);
  if (!plan) throw new Error(`definition ${definition_id} is not there`);
  return plan;
}
