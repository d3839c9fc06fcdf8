/**
 * One task of the model: its claims, what counts as what, and what the end of an attempt means for it alone. Like
 * the rest of the model it imports nothing of ours.
 */

export type TaskState = 'pending' | 'active' | 'completed' | 'failed' | 'cancelled';
export interface TaskPlan {
  /** Its place in the plan, from 1. */
  ordinal: number;
  name: string;
  queue: string;
  priority: number;
  needs: number[];
  attemptsMax: number;
  /** A retry comes after a pause that nobody waits for; otherwise at once. */
  retriesLater: boolean;
  /** Codes of errors that are tried again; null: all are. */
  retriesOn: string[] | null;
  /** Half an hour: shorter than such a pause, longer than any case. */
  retriesWithin: boolean;
  hasTimeout: boolean;
  /** A failure counts as met for those that need it. */
  continueOnError: boolean;
}

export interface Holder {
  worker: string;
  /** Takes no grace, so the server ends its attempts: a lease of a started one ends with its deadline. */
  graceless: boolean;
}

export interface Claim extends Holder {
  no: number;
  started: boolean;
  /** The lease ran out, and nobody has acted on it yet. */
  expired: boolean;
  pastDeadline: boolean;
  /** It beat past its deadline, and was told to stop. */
  overdue: boolean;
  stopAsked: boolean;
}

/** What ends an attempt: a worker's word, or the reaper's (`lost`). */
export interface Word {
  kind: 'completed' | 'failed' | 'timed_out' | 'cancelled' | 'released' | 'lost';
  /** False: trying again is no use. */
  retry?: boolean;
  /** Of a release: not before a long pause. */
  later?: boolean;
  /** The output, or the code of the error. */
  says?: string;
}

export type Verdict = 'completed' | 'failed' | 'lost_too_often' | 'cancelled' | 'retry' | 'again';

/** A claim that is over. */
interface Past {
  word: Word['kind'];
  verdict: Verdict;
  /** Its line among the task's attempts. */
  recorded: string | null;
  /** Of the task, between two retries of its process. */
  life: number;
}

export interface Task {
  plan: TaskPlan;
  state: TaskState;
  /** How often it was begun anew. */
  life: number;
  /** Of the last claim; never goes down. */
  claimNo: number;
  claim: Claim | null;
  failures: number;
  losses: number;
  /** The first attempt of this life began longer ago than `retriesWithin`; null: none has failed or been lost. */
  beganLongAgo: boolean | null;
  /** When it came into its line, or was made due. */
  dueAt: number;
  /** It waits for a time, as after a failure. */
  later: boolean;
  /** Whose outcome ended it. */
  endedBy: string | null;
  output: string | null;
  error: string | null;
  letter: { reason: 'failed' | 'lost_too_often'; replayed: boolean; replays: number } | null;
  attempts: { claimNo: number; attempt: number; outcome: string }[];
  past: Map<number, Past>;
}

/** The loss that ends a task. */
const lossesMax = 5;

/** As a process starts: nothing has been claimed yet. */
export function newTask(plan: TaskPlan): Task {
  return {
    plan,
    state: 'pending',
    life: 0,
    claimNo: 0,
    claim: null,
    failures: 0,
    losses: 0,
    beganLongAgo: null,
    dueAt: 0,
    later: false,
    endedBy: null,
    output: null,
    error: null,
    letter: null,
    attempts: [],
    past: new Map(),
  };
}

export function copyOf(task: Task): Task {
  return {
    ...task,
    claim: task.claim && { ...task.claim },
    attempts: [...task.attempts],
    past: new Map(task.past),
  };
}

export function isLive(task: Task): boolean {
  return task.state === 'pending' || task.state === 'active';
}

export function isMet(need: Task): boolean {
  return need.state === 'completed' || (need.state === 'failed' && need.plan.continueOnError);
}

export function failedForGood(task: Task): boolean {
  return task.state === 'failed' && !task.plan.continueOnError;
}

/**
 * A loss costs nothing before the start, and is a timeout where the worker hung or leaves timeouts to the server.
 * Who stops without being asked gives the task back.
 */
export function countsAs(word: Word, claim: Claim, plan: TaskPlan): string {
  if (word.kind === 'cancelled') return 'released';
  if (word.kind !== 'lost') return word.kind;
  if (!claim.started) return 'released';
  return claim.overdue || (claim.graceless && plan.hasTimeout) ? 'timed_out' : 'lost';
}

export function judge(word: Word, counts: string, task: Task, claim: Claim): Verdict {
  if (word.kind === 'completed') return 'completed';
  if (claim.stopAsked) return 'cancelled';
  if (counts === 'released') return 'again';
  if (counts === 'lost') return task.losses + 1 >= lossesMax ? 'lost_too_often' : 'again';
  return word.retry !== false &&
    task.failures + 1 < task.plan.attemptsMax &&
    isInTime(task, claim) &&
    isListed()
    ? 'retry'
    : 'failed';

  function isListed(): boolean {
    const codes = task.plan.retriesOn;
    return (
      codes === null ||
      codes.includes(word.says ?? word.kind) ||
      codes.includes(counts === 'timed_out' ? counts : '-')
    );
  }
}

function isInTime(task: Task, claim: Claim): boolean {
  if (!task.plan.retriesWithin) return true;
  return !task.plan.retriesLater && !(task.beganLongAgo ?? claim.pastDeadline);
}

/** For the count of what occurred. */
export function nameOf(word: Word, claim: Claim): string {
  if (word.kind === 'failed' && word.retry === false) return 'failed, no retry wanted';
  if (word.kind !== 'lost') return word.kind;
  if (!claim.started) return 'lost before its start';
  return claim.overdue ? 'lost past its deadline' : 'lost';
}

/**
 * What may be said to a word about a claim that is over. The same word again is told that it was settled so;
 * anything else is refused. An outcome is known by its traces, so where two outcomes left the same ones, or later
 * moves have covered them, either answer will do: nothing depends on it.
 */
export function toldOfOld(task: Task, no: number, word: Word): string[] {
  const refused = isLive(task) ? 'lease_lost' : `already_settled ${task.state}`;
  const repeated = `repeated ${task.state}`;
  const past = task.past.get(no);
  if (!past) return [refused];
  const isSame = past.word === word.kind;
  const isLast = task.claimNo === no;
  switch (word.kind) {
    case 'completed':
      return [past.verdict === 'completed' ? repeated : refused];
    case 'failed':
    case 'timed_out':
      if (past.recorded === word.kind || (past.recorded === 'cancelled' && isSame)) return [repeated];
      return past.recorded === 'cancelled' ? [repeated, refused] : [refused];
    case 'released':
    case 'cancelled':
      if (past.verdict === 'cancelled')
        return isSame && isLast && past.life === task.life ? [repeated] : [repeated, refused];
      if (past.verdict === 'again' && past.recorded === null)
        return isSame && isLast ? [repeated] : [repeated, refused];
      return [refused];
    case 'lost':
      return [repeated, refused];
  }
}
