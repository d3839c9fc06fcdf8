/** Tasks whose needs have ended: what each of them comes to. */
import { setImmediate } from 'node:timers/promises';
import { crashPoint } from '../../core/crash-point.ts';
import { type Plan, planLimits } from '../../core/plan.ts';
import { keyOf, type TaskPlace } from '../../queue/processes/read-outputs.ts';
import { type ProcessStanding, readFailed, readUnsuccessful } from '../../queue/processes/read-standing.ts';
import { type InnerStart, startChildren } from './children.ts';
import { bulkyMax, planOf, processOf, type Round, type TaskThought, waitsMax } from './context.ts';
import { type Decision, decideTask, isCancelled } from './decide-task.ts';
import { Scopes } from './scopes.ts';
import { ancestorsOf, type Thought, thoughtOf } from './thoughts.ts';
import { awaitEvents, type EventWait } from './waits.ts';

/** In the details of a timer: the task has not slept, but waited for its turn. */
export const delayed = { delayed: true } as const;

interface Thinking {
  row: TaskThought;
  process: ProcessStanding;
  plan: Plan;
  thought: Thought;
}

/** How long expressions may be evaluated before others get their turn. */
const turnMs = 10;
/** What is left over comes in the next round. */
const itemsOfRoundMax = 2 * planLimits.itemsMax;

export async function thinkTasks(round: Round, rows: TaskThought[]): Promise<void> {
  const { tx, turn } = round;
  const all = rows.map((row): Thinking => {
    const process = processOf(round, row);
    const plan = planOf(round, process);
    const ordinal = row.task.item_of ?? row.task.ordinal;
    const thought = thoughtOf(plan, ordinal);
    if (!thought) throw new Error(`there is no task ${ordinal} in definition ${process.definition_id}`);
    return { row, process, plan, thought };
  });
  const ends = await readEnds(round, all);
  const scopes = await Scopes.read(
    tx,
    // What is skipped without a look at its expressions needs none of their values.
    all
      .filter((each) => each.thought.hasExpressions && (ends(each).success || !each.thought.impliesSuccess))
      .map(({ process, thought }) => ({ process, asks: thought.asks })),
  );
  const starts: InnerStart[] = [];
  const waits: EventWait[] = [];
  /** Processes that stop by what was decided of them here: their `failure()` is another one from then on. */
  const stopping = new Set<string>();
  let itemsLeft = itemsOfRoundMax;
  let others = performance.now() + turnMs;
  for (const each of all) {
    const { row, process, thought } = each;
    // Not decided in vain: there is no room for what it most likely comes to.
    if (thought.process && starts.length >= bulkyMax) continue;
    if (thought.event && turn.waits + waits.length >= waitsMax) continue;
    if (performance.now() > others) {
      // What has taken long goes on in the next turn, and lets go of its locks meanwhile.
      if (performance.now() > turn.endsAt) break;
      await setImmediate();
      others = performance.now() + turnMs;
    }
    const { item_of, item_index, item } = row.task;
    const isItem = item_of !== null;
    if (stopping.has(process.id) && asksForFailure(each)) continue;
    const scope = await scopes.of(
      tx,
      { process, asks: isCancelled(thought, standingOf(process)) ? [] : thought.asks },
      isItem ? { value: item, index: item_index ?? 0 } : null,
    );
    const decision = decideTask(thought, {
      ...standingOf(process),
      ...ends(each),
      isItem,
      isDelayed: row.kind === 'timer',
      scope,
      now: Date.now(),
    });
    const isFailure = decision.kind === 'end' && decision.state === 'failed';
    if (isFailure && process.fail_fast && !isItem && !thought.planned.continue_on_error)
      stopping.add(process.id);
    if (decision.kind === 'start') {
      starts.push({ ...decision, row, process });
    } else if (decision.kind === 'await') {
      waits.push({ ...decision, row });
    } else if (decision.kind === 'expand') {
      itemsLeft -= decision.items.length;
      if (itemsLeft >= 0) note(round, row, thought, decision);
    } else note(round, row, thought, decision);
  }
  if (waits.length > 0) await awaitEvents(round, waits);
  if (starts.length > 0) await startChildren(round, starts);
}

/** Its condition is asked now. */
function isFirst({ row }: Thinking): boolean {
  return row.task.item_of === null && row.kind === 'think';
}

function asksForFailure(each: Thinking): boolean {
  return isFirst(each) && Boolean(each.thought.condition?.calls.failure);
}

function standingOf({ state, fail_fast }: ProcessStanding) {
  return { state, failFast: fail_fast };
}

function note(
  { acts }: Round,
  { id, process_id: processId, task_id: taskId, task }: TaskThought,
  { planned }: Thought,
  decision: Exclude<Decision, { kind: 'start' | 'await' }>,
): void {
  acts.done.push(id);
  switch (decision.kind) {
    case 'end': {
      const { kind: _kind, ...end } = decision;
      acts.ends.push({ taskId, processId, ...end });
      return;
    }
    case 'queue': {
      const { kind: _kind, ...due } = decision;
      acts.queued.push({ taskId, ...due });
      return;
    }
    case 'delay':
    case 'sleep': {
      const { delayMs, runAt } = decision;
      acts.parks.push({ taskId, waitsFor: 'time' });
      acts.posts.push({
        processId,
        taskId,
        kind: 'timer',
        ...(delayMs === undefined ? {} : { delayMs }),
        ...(runAt === undefined ? {} : { availableAt: runAt }),
        ...(decision.kind === 'delay' ? { details: delayed } : {}),
      });
      return;
    }
    case 'expand':
      acts.parks.push({ taskId, waitsFor: 'items' });
      acts.expansions.push({
        processId,
        taskId,
        ordinal: task.ordinal,
        items: decision.items,
        concurrency: planned.concurrency ?? null,
        failuresMax: planned.max_failures ?? 0,
      });
  }
}

/** How what they need, and what they follow from, has ended. */
async function readEnds(
  { tx }: Round,
  all: Thinking[],
): Promise<(each: Thinking) => { success: boolean; failure: boolean }> {
  const first = all.filter(isFirst);
  const needs = new Map<string, TaskPlace>();
  for (const { process, thought } of first)
    for (const need of thought.planned.needs) needs.set(keyOf(process.id, need), [process.id, need]);
  const unsuccessful = new Set(
    (await readUnsuccessful(tx, [...needs.values()])).map((place) => keyOf(...place)),
  );
  if (needs.size > 0) crashPoint('engine_needs_read');
  // While it is running nothing has failed for good.
  const asking = first.filter((each) => each.process.state !== 'running' && asksForFailure(each));
  const failed = await readFailed(tx, [...new Set(asking.map(({ process }) => process.id))]);
  if (asking.length > 0) crashPoint('engine_failed_read');
  return ({ process, plan, thought }) => ({
    success: !thought.planned.needs.some((need) => unsuccessful.has(keyOf(process.id, need))),
    failure:
      // Where a failure stops everything it is everybody's.
      (process.state === 'failing' && process.fail_fast) ||
      failed.some(
        ([id, ordinal]) => id === process.id && ancestorsOf(plan).isBefore(ordinal, thought.ordinal),
      ),
  });
}
