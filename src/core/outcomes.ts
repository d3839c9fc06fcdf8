/**
 * What an outcome means for a task and its process: the pure form of the `case`s in `queue/settle-statement.ts`,
 * which a test compares with it over every combination.
 */
import { lossesMax, type RetryOn } from './task.ts';

export interface Attempted {
  outcome: 'completed' | 'failed' | 'timed_out' | 'cancelled' | 'released' | 'lost';
  cancelRequested: boolean;
  started: boolean;
  /** False: the worker said that trying again is no use. */
  retryWanted: boolean;
  /** It ran into its deadline: its worker beat past it and was told to stop, or leaves timeouts to the server. */
  overdue: boolean;
  /** Before this one. */
  failures: number;
  losses: number;
  attemptsMax: number;
  /** Without it every failure is tried again. */
  retryOn?: RetryOn | undefined;
  exitCode?: number | null;
  errorCode?: string | null;
  /** The pause before the next attempt would end beyond the policy's `within`. */
  isTooLate?: boolean;
}

/** `again`: back on the queue at once; `retry`: back after a pause. */
export type Verdict = 'completed' | 'failed' | 'lost_too_often' | 'cancelled' | 'retry' | 'again';

export function judge(attempted: Attempted, process: OfProcess | null = null): Verdict {
  if (attempted.outcome === 'completed') return 'completed';
  if (attempted.cancelRequested || (isStopping(process) && !isSpared(process))) return 'cancelled';
  const outcome = countsAs(attempted);
  if (outcome === 'released') return 'again';
  if (outcome === 'lost') return attempted.losses + 1 >= lossesMax ? 'lost_too_often' : 'again';
  const isLeft = attempted.failures + 1 < attempted.attemptsMax && attempted.isTooLate !== true;
  return attempted.retryWanted && isLeft && isTriedAgain(attempted) ? 'retry' : 'failed';
}

/** One of the lists has it. What timed out is known by that, whatever its worker calls the error. */
function isTriedAgain(attempted: Attempted): boolean {
  const { retryOn, exitCode, errorCode } = attempted;
  if (retryOn === undefined) return true;
  const { exit_codes: exitCodes = [], codes = [] } = retryOn;
  return (
    exitCodes.some((each) => each === exitCode) ||
    codes.some((each) => each === errorCode) ||
    (countsAs(attempted) === 'timed_out' && codes.includes('timed_out'))
  );
}

/**
 * What is counted. A lost claim that never started cost nothing: released. A worker that beat its heart past
 * the deadline hung: timed out. So did one that leaves timeouts to the server (it claims without a grace of its
 * own) and held on to the deadline. One that stops its own attempts and was not heard of after the deadline may
 * have died long before: lost, whatever the time is now. A stop that nobody asked for gives the task back.
 */
export function countsAs({ outcome, started, overdue }: Attempted): Attempted['outcome'] {
  if (outcome === 'lost' && !started) return 'released';
  if (outcome === 'lost' && overdue) return 'timed_out';
  if (outcome === 'cancelled') return 'released';
  return outcome;
}

/** The process of the task, as it stood before. */
export interface OfProcess {
  state: 'running' | 'failing' | 'cancelling';
  failFast: boolean;
  /** Of the task: its failure counts as met for those that need it. */
  continueOnError: boolean;
  /** Of the task: it runs also when its process stops after a failure, or a cancel. */
  runsOnFailure?: boolean;
  runsOnCancel?: boolean;
  /** It is an item of an `each`, which alone says what came of its items. */
  isItem?: boolean;
}

/** Nothing more may start but clean-up tasks, and what else still runs was asked to stop. */
export function isStopping(process: Pick<OfProcess, 'state' | 'failFast'> | null): boolean {
  return process?.state === 'cancelling' || (process?.state === 'failing' && process.failFast);
}

/** The task goes on though its process stops. */
export function isSpared(process: Omit<OfProcess, 'continueOnError' | 'failFast'> | null): boolean {
  if (process?.state === 'cancelling') return process.runsOnCancel ?? false;
  return process?.state === 'failing' && (process.runsOnFailure ?? false);
}

/** `advances`: a need of its dependents is met; `fails`: what needs it, or all that waits, is cancelled. */
export type Effect = 'none' | 'advances' | 'fails';

/** What the end of a task does to its process. */
export function effectOf(verdict: Verdict, process: OfProcess): Effect {
  // What clean-up tasks follow from is for an engine to see, and an item has nobody behind it but its list.
  if (isStopping(process) || process.isItem) return 'none';
  if (verdict === 'completed') return 'advances';
  if (verdict !== 'failed' && verdict !== 'lost_too_often') return 'none';
  return process.continueOnError ? 'advances' : 'fails';
}

/** The process after its task's end, when `left` of its tasks are still unfinished. */
export function processAfter(
  process: Pick<OfProcess, 'state'>,
  effect: Effect,
  left: number,
): 'running' | 'failing' | 'cancelling' | 'completed' | 'failed' | 'cancelled' {
  const state = process.state === 'running' && effect === 'fails' ? 'failing' : process.state;
  if (left > 0) return state;
  return ({ running: 'completed', failing: 'failed', cancelling: 'cancelled' } as const)[state];
}
