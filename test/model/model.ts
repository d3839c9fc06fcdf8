/**
 * One process, in memory: what the design says of it, in the plainest way there is. It imports nothing of ours, knows no
 * table and no batch, counts nothing that it could look up, and after every move looks at everything anew.
 *
 * Each move answers what the product must answer. Refused moves change nothing; `changes` counts the others.
 * Time is not in it, but for an order: `now` is a number that grows from move to move.
 */
import {
  type Claim,
  copyOf,
  countsAs,
  failedForGood,
  type Holder,
  isLive,
  isMet,
  judge,
  nameOf,
  newTask,
  type Task,
  type TaskPlan,
  type TaskState,
  type Verdict,
  type Word,
} from './task-model.ts';

export type ProcessState = 'running' | 'failing' | 'cancelling' | 'completed' | 'failed' | 'cancelled';

export interface ProcessPlan {
  failFast: boolean;
  tasks: TaskPlan[];
}

export type NamedEnd = { kind: 'completed' | 'failed'; by: string; says: string };

/** A move that the model does not allow where the product made it. */
export class Impossible extends Error {}

export class ProcessModel {
  readonly plan: ProcessPlan;
  state: ProcessState = 'running';
  paused = false;
  tasks: Task[];
  events: string[] = [];
  changes = 0;
  #count: (what: string) => void;

  constructor(plan: ProcessPlan, now: number, count: (what: string) => void = () => {}) {
    this.plan = plan;
    this.#count = count;
    this.tasks = plan.tasks.map(newTask);
    this.#follow(now);
  }

  /** To try a move on; counts nothing. */
  clone(): ProcessModel {
    const copy = new ProcessModel(this.plan, 0);
    copy.state = this.state;
    copy.paused = this.paused;
    copy.events = [...this.events];
    copy.changes = this.changes;
    copy.tasks = this.tasks.map(copyOf);
    return copy;
  }

  task(ordinal: number): Task {
    const task = this.tasks[ordinal - 1];
    if (!task) throw new Impossible(`there is no task ${ordinal}`);
    return task;
  }

  hasEnded(): boolean {
    return this.state === 'completed' || this.state === 'failed' || this.state === 'cancelled';
  }

  /** Nothing more starts, and what runs was asked to stop. */
  isStopping(): boolean {
    return this.state === 'cancelling' || (this.state === 'failing' && this.plan.failFast);
  }

  /** For the count of what occurred. */
  situation(): string {
    if (this.state !== 'failing') return this.state;
    return this.plan.failFast ? 'failing at once' : 'failing, branches go on';
  }

  unfinished(): number {
    return this.tasks.filter(isLive).length;
  }

  unmet(task: Task): number {
    return task.plan.needs.filter((need) => isLive(this.task(need))).length;
  }

  isClaimable(task: Task): boolean {
    return task.state === 'active' && task.claim === null && !task.later && !this.paused;
  }

  claim(ordinal: number, holder: Holder & { started: boolean }): Claim {
    const task = this.task(ordinal);
    if (!this.isClaimable(task))
      throw new Impossible(
        `${task.plan.name} was claimed, but is ${task.state}${this.paused ? ', paused' : ''}`,
      );
    this.#count(holder.started ? 'claim: starts at once' : 'claim: held ahead');
    return this.#claim(task, holder);
  }

  /** `started`: the attempt has started, as of now or before. */
  beat(ordinal: number, no: number, { started }: { started: boolean }): string {
    const { claim, plan } = this.task(ordinal);
    if (claim?.no !== no) {
      this.#count('heartbeat: gone');
      return 'gone';
    }
    this.changes += 1;
    if (started && !claim.started) this.#count('claim: held ahead, starts later');
    claim.started ||= started;
    claim.overdue = claim.pastDeadline;
    claim.expired = claim.pastDeadline;
    if (!plan.hasTimeout && claim.pastDeadline) throw new Impossible('past a deadline that is not there');
    const answer = claim.stopAsked ? 'stop cancelled' : claim.overdue ? 'stop timed_out' : 'extended';
    this.#count(`heartbeat: ${answer}`);
    return answer;
  }

  /** Nobody beats: its lease runs out. */
  expire(ordinal: number, no: number): void {
    const { claim } = this.task(ordinal);
    if (claim?.no !== no) return;
    this.changes += 1;
    claim.expired = true;
  }

  passDeadline(ordinal: number, no: number): void {
    const { claim, plan } = this.task(ordinal);
    if (claim?.no !== no || !claim.started || !plan.hasTimeout) return;
    this.changes += 1;
    claim.pastDeadline = true;
    claim.expired ||= claim.graceless;
  }

  /** What it waited for has come. */
  makeDue(ordinal: number, now: number): void {
    const task = this.task(ordinal);
    if (!task.later || task.claim !== null) return;
    this.changes += 1;
    task.later = false;
    task.dueAt = now;
  }

  /** Null: that claim holds nothing, or is not lost; nothing changed. See `toldOfOld`. */
  settle(ordinal: number, no: number, word: Word, now: number): string | null {
    const task = this.task(ordinal);
    const { claim } = task;
    if (claim?.no !== no) return null;
    if (word.kind === 'lost' && !claim.expired) {
      this.#count('outcome refused: lost, but its lease stands');
      return null;
    }
    this.changes += 1;
    this.#count(`${nameOf(word, claim)} | ${this.situation()}`);
    if (claim.expired && word.kind === 'completed') this.#count('completed after the lease ran out');
    const counts = countsAs(word, claim, task.plan);
    const verdict = judge(word, counts, task, claim);
    const hasRun = claim.started || word.kind === 'failed' || word.kind === 'timed_out';
    let recorded: string | null = null;
    if (verdict === 'cancelled') recorded = hasRun ? 'cancelled' : null;
    else if (verdict !== 'completed' && counts !== 'released') recorded = counts;
    if (recorded !== null)
      task.attempts.push({ claimNo: no, attempt: task.failures + task.losses + 1, outcome: recorded });
    if (verdict === 'failed' && word.retry !== false && task.failures + 1 < task.plan.attemptsMax)
      this.#count('failed for good: not in `on`, or too late');
    if (verdict !== 'completed' && verdict !== 'cancelled') {
      if (counts !== 'released') task.beganLongAgo ??= claim.pastDeadline;
      if (counts === 'failed' || counts === 'timed_out') task.failures += 1;
      if (counts === 'lost') task.losses += 1;
    }
    task.past.set(no, { word: word.kind, verdict, recorded, life: task.life });
    task.claim = null;
    const state = this.#carryOut(task, verdict, { counts, claim, word, now });
    this.#follow(now);
    return `settled ${state}`;
  }

  cancel(): string {
    if (this.state === 'cancelling' || this.state === 'cancelled') {
      this.#count('cancel: asked before');
      return 'cancelling';
    }
    if (this.hasEnded()) {
      this.#count('cancel refused: ended');
      return `ended ${this.state}`;
    }
    this.#count(`cancel | ${this.state}`);
    if (this.paused) this.#count('cancel: while paused');
    this.changes += 1;
    this.events.push('cancel_requested');
    this.state = 'cancelling';
    this.#follow(0);
    return 'cancelling';
  }

  pause(paused: boolean): string {
    const name = paused ? 'pause' : 'resume';
    if (this.state !== 'running' && this.state !== 'failing') {
      this.#count(`${name} refused: ended`);
      return `ended ${this.state}`;
    }
    if (this.paused === paused) {
      this.#count(`${name}: was so before`);
      return 'done';
    }
    this.#count(`${name} | ${this.state}`);
    if (paused && this.tasks.some((task) => task.claim)) this.#count('pause: while tasks run');
    this.changes += 1;
    this.events.push(paused ? 'paused' : 'resumed');
    this.paused = paused;
    return 'done';
  }

  /** What failed, and what that failure had cancelled, begins anew; what completed stays, and what was tolerated. */
  retry(now: number): string {
    if (this.state !== 'failed') {
      this.#count('retry of a process refused: not failed');
      return `not_failed ${this.state}`;
    }
    const failed = this.tasks.filter(failedForGood);
    for (const task of this.tasks.filter((each) => each.state === 'cancelled' || failedForGood(each))) {
      task.life += 1;
      if (task.state === 'failed' && task.letter && !task.letter.replayed)
        task.letter = { ...task.letter, replayed: true, replays: task.letter.replays + 1 };
      Object.assign(task, {
        state: 'pending',
        failures: 0,
        losses: 0,
        beganLongAgo: null,
        endedBy: null,
        output: null,
        error: null,
      });
    }
    this.#count('retry of a process');
    this.changes += 1;
    this.events.push('retried');
    this.state = 'running';
    this.paused = false;
    this.#follow(now);
    if (this.tasks.some((task) => task.state === 'pending'))
      this.#count('retry of a process: some wait again');
    return `retried ${failed.map((task) => task.plan.name).join(',')}`;
  }

  /** Replaying the dead letter of a process's task is retrying the process. */
  replay(ordinal: number, now: number): string {
    const { letter, plan } = this.task(ordinal);
    if (!letter || letter.replayed) {
      this.#count('replay refused');
      return letter ? 'already_replayed' : 'not_found';
    }
    // Lost too often, but its process went on without it.
    if (plan.continueOnError) {
      this.#count('replay refused: tolerated');
      return 'tolerated';
    }
    if (this.state !== 'failed') {
      this.#count('replay refused: process not failed');
      return `process_not_failed ${this.state}`;
    }
    this.retry(now);
    this.#count('replay of a dead letter');
    return 'replayed';
  }

  /** A person's word, without a claim: final. */
  endByName(name: string, end: NamedEnd, now: number): string {
    const task = this.tasks.find((each) => each.plan.name === name || String(each.plan.ordinal) === name);
    const refuse = (why: string, answer: string) => {
      this.#count(`by name refused: ${why}`);
      return answer;
    };
    if (!task) return refuse('no such task', 'no_such_task');
    const said = end.kind === 'completed' ? task.output : task.error;
    if (task.state === end.kind && task.endedBy === end.by && said === end.says) {
      this.#count('by name: said before');
      return 'ended, repeated';
    }
    if (task.state === 'pending') {
      const needs = task.plan.needs.map((need) => this.task(need)).filter(isLive);
      return refuse(
        'pending',
        `pending ${needs
          .slice(0, 5)
          .map((need) => need.plan.name)
          .join(',')}`,
      );
    }
    if (task.state !== 'active') return refuse('ended', `already_settled ${task.state}`);
    if (task.claim) return refuse('claimed', `already_claimed ${task.claim.worker}`);
    this.#count(`by name: ${end.kind}`);
    this.#count(`by name | ${this.state}`);
    if (this.paused) this.#count('by name: while paused');
    const claim = this.#claim(task, { worker: end.by, graceless: false, started: true });
    this.settle(
      task.plan.ordinal,
      claim.no,
      end.kind === 'completed'
        ? { kind: 'completed', says: end.says }
        : { kind: 'failed', retry: false, says: end.says },
      now,
    );
    this.events.push(`${end.kind}_by_name`);
    return 'ended';
  }

  #claim(task: Task, { worker, graceless, started }: Holder & { started: boolean }): Claim {
    this.changes += 1;
    task.claimNo += 1;
    task.claim = {
      no: task.claimNo,
      worker,
      graceless,
      started,
      expired: false,
      pastDeadline: false,
      overdue: false,
      stopAsked: false,
    };
    return task.claim;
  }

  /** Answers the task's state then; what follows for others is for `#follow`. */
  #carryOut(
    task: Task,
    verdict: Verdict,
    { counts, claim, word, now }: { counts: string; claim: Claim; word: Word; now: number },
  ): TaskState {
    if (verdict === 'retry' || verdict === 'again') {
      if (verdict === 'retry') {
        this.#count('tried again after a failure');
        task.dueAt = now;
        task.later = task.plan.retriesLater;
      } else {
        task.later = word.later === true;
      }
      return 'active';
    }
    task.endedBy = claim.worker;
    if (verdict === 'completed') {
      task.state = 'completed';
      task.output = word.says ?? null;
    } else if (verdict === 'cancelled') {
      task.state = 'cancelled';
    } else {
      task.state = 'failed';
      task.error = verdict === 'lost_too_often' ? verdict : (word.says ?? counts);
      const isTolerated = task.plan.continueOnError;
      this.#count(`${verdict === 'failed' ? 'failed' : 'lost too often'}${isTolerated ? ', tolerated' : ''}`);
      if (!isTolerated || verdict === 'lost_too_often')
        task.letter = { reason: verdict, replayed: false, replays: task.letter?.replays ?? 0 };
    }
    return task.state;
  }

  /** What follows from how the tasks stand. */
  #follow(now: number): void {
    if (this.state === 'running' && this.tasks.some(failedForGood)) {
      this.state = 'failing';
      const isRunning = this.tasks.some((task) => task.claim);
      if (isRunning) this.#count(`fails while tasks run | ${this.situation()}`);
    }
    if (this.isStopping()) this.#stop();
    else while (this.#advance(now)) this.#count('advance');
    if (this.tasks.some(isLive)) return;
    if (this.state === 'running') this.state = 'completed';
    if (this.state === 'failing') this.state = 'failed';
    if (this.state === 'cancelling') this.state = 'cancelled';
  }

  #stop(): void {
    for (const task of this.tasks.filter(isLive)) {
      if (task.claim) task.claim.stopAsked = true;
      else {
        this.#count(`stopped: ${task.state}`);
        task.state = 'cancelled';
      }
    }
  }

  /** Whether anything moved. */
  #advance(now: number): boolean {
    let hasMoved = false;
    for (const task of this.tasks.filter((each) => each.state === 'pending')) {
      const needs = task.plan.needs.map((need) => this.task(need));
      if (needs.every(isMet)) {
        task.state = 'active';
        task.dueAt = now;
        task.later = false;
        hasMoved = true;
        if (this.paused) this.#count('active while the process is paused');
        if (this.state === 'failing') this.#count('active behind a need that ended in a failing process');
      } else if (needs.some((need) => failedForGood(need) || need.state === 'cancelled')) {
        task.state = 'cancelled';
        hasMoved = true;
        this.#count('cancelled behind a failure');
      }
    }
    return hasMoved;
  }
}
