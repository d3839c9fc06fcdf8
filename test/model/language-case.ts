/** Random definitions of the process language, and how people and workers treat the processes of them. */

import { drawNeeds, shapes, wideShapes } from './graph.ts';
import {
  type Asked,
  ancestorsOf,
  type Condition,
  isCleanUp,
  type LanguagePlan,
  type LanguageTask,
  type ListPlan,
  type Status,
  type Value,
} from './language-plan.ts';
import { createRandom, type Random } from './random.ts';

export interface LanguageCase {
  number: number;
  seed: number;
  /** The first is started; others by it. */
  plans: LanguagePlan[];
  temper: Temper;
  theme: Theme;
}

const tempers = ['calm', 'failing', 'people'] as const;
export type Temper = (typeof tempers)[number];

/** Of what there is more than of anything else. */
const themes = ['all', 'clean-ups', 'lists', 'sub-processes', 'waits'] as const;
export type Theme = (typeof themes)[number];

interface Drawing {
  random: Random;
  plans: LanguagePlan[];
  temper: Temper;
  theme: Theme;
  /** Nobody cancels, no time is too short: the end depends on nothing but the outcomes. */
  isDetermined: boolean;
}

export function drawLanguageCase(number: number, seed: number, { isDetermined = false } = {}): LanguageCase {
  const random = createRandom(seed);
  const temper = isDetermined ? random.pick(['calm', 'failing'] as const) : random.pick(tempers);
  const theme = random.pick(themes);
  const drawing: Drawing = { random, plans: [], temper, theme, isDetermined };
  drawPlan(drawing, 0);
  return { number, seed, plans: drawing.plans, temper, theme };
}

/** Answers its place among the plans. */
function drawPlan(drawing: Drawing, depth: number): number {
  const { random, plans, isDetermined } = drawing;
  const place = plans.length;
  const size = depth === 0 ? random.whole(4, 10) : random.whole(1, 3);
  const shape = depth === 0 && random.chance(0.85) ? random.pick(wideShapes) : random.pick(shapes);
  const needs = drawNeeds(random, shape, size);
  const plan: LanguagePlan = {
    failFast: random.chance(isDetermined ? 0.2 : 0.55),
    tasks: [],
    output: drawPlanOutput(random),
    onFailure: null,
    hasDeadline: !isDetermined && random.chance(0.4),
  };
  plans.push(plan);
  plan.tasks = needs.map((own, index) => plainTask(random, index + 1, own));
  for (const task of plan.tasks) drawTask(drawing, plan, task, depth);
  if (random.chance(depth === 0 ? 0.5 : 0.25))
    plan.onFailure = random.chance(0.25) ? 'nobody' : drawFailurePlan(drawing);
  return place;
}

function drawPlanOutput(random: Random): LanguagePlan['output'] {
  const output = random.weighted({ none: 5, fine: 3, fails: 2 });
  return output === 'none' ? null : output;
}

function plainTask(random: Random, ordinal: number, needs: number[]): LanguageTask {
  return {
    ordinal,
    name: `t${ordinal}`,
    needs,
    continueOnError: random.chance(0.15),
    attemptsMax: random.chance(0.2) ? 2 : 1,
    isDelayed: false,
    condition: null,
    list: null,
    kind: 'run',
    child: null,
    key: null,
    hasTimeout: false,
    yields: random.weighted({ truth: 3, list: 2, text: 2 }),
  };
}

function drawFailurePlan({ random, plans }: Drawing): number {
  const tasks = [plainTask(random, 1, [])];
  if (random.chance(0.2))
    (tasks[0] as LanguageTask).condition = { status: null, and: { of: 'input', member: 'yes' } };
  plans.push({ failFast: true, tasks, output: null, onFailure: null, hasDeadline: false });
  return plans.length - 1;
}

function drawTask(drawing: Drawing, plan: LanguagePlan, task: LanguageTask, depth: number): void {
  const { random, isDetermined, theme } = drawing;
  const kinds = { run: 10, process: depth < 2 ? 2.5 : 0, sleep: 1.5, event: 2 };
  if (theme === 'sub-processes') kinds.process *= 3;
  if (theme === 'waits') Object.assign(kinds, { sleep: 5, event: 8 });
  task.kind = random.weighted(depth === 0 ? kinds : { ...kinds, process: kinds.process / 4 });
  if (random.chance(theme === 'clean-ups' ? 0.6 : 0.25)) task.condition = drawCondition(drawing, plan, task);
  const more =
    (theme === 'lists' ? 2.2 : 1) *
    (task.kind === 'process' || (task.condition && isCleanUp(task)) ? 1.7 : 1);
  if (random.chance((depth === 0 ? 0.22 : 0.1) * more)) task.list = drawList(drawing, plan, task);
  task.isDelayed = random.chance(theme === 'waits' ? 0.25 : 0.04);
  if (task.kind === 'process') {
    const isThere = !random.chance(0.1);
    task.child = { plan: isThere ? drawPlan(drawing, depth + 1) : null, isDetached: random.chance(0.25) };
  }
  if (task.kind === 'event') {
    task.key = task.list && !task.list.isMatrix && random.chance(0.6) ? null : `k${random.whole(0, 2)}`;
    task.hasTimeout = !isDetermined && random.chance(0.5);
  }
  if (task.kind !== 'run') task.attemptsMax = 1;
}

function drawCondition(
  { random, theme, temper }: Drawing,
  plan: LanguagePlan,
  task: LanguageTask,
): Condition {
  const before = [...ancestorsOf(plan, task.ordinal)];
  const more = theme === 'clean-ups' ? 2 : 1;
  const status = random.weighted<Status | 'none'>({
    none: 5 / more,
    always: 3 * more,
    failure: 2.5 * more,
    success: 2.5 / more,
    cancelled: (temper === 'people' ? 8 : 1.5) * more,
    'not failure': 2.5,
    'failure or cancelled': 3 * more,
  });
  const runs = before.filter((ordinal) => plan.tasks[ordinal - 1]?.kind === 'run');
  const and =
    status === 'none'
      ? random.weighted({ no: 1, input: 3, output: runs.length > 0 ? 9 : 0 })
      : random.weighted({ no: 5, input: 2, output: runs.length > 0 ? 1.5 : 0 });
  const asked = runs.length > 0 ? random.pick(runs) : 0;
  const brings = plan.tasks[asked - 1];
  if (and === 'output' && brings && !brings.list) brings.yields = 'truth';
  if (status === 'none' && and === 'no')
    return { status: null, and: { of: 'input', member: random.pick(['yes', 'no']) } };
  return {
    status: status === 'none' ? null : status,
    and:
      and === 'no'
        ? null
        : and === 'input'
          ? { of: 'input', member: random.weighted({ yes: 5, no: 2, three: 1.5 }) }
          : { of: 'output', ordinal: asked },
  };
}

function drawList({ random }: Drawing, plan: LanguagePlan, task: LanguageTask): ListPlan {
  const isMatrix = random.chance(0.3);
  const before = [...ancestorsOf(plan, task.ordinal)];
  const asked: Asked =
    before.length > 0 && random.chance(0.7)
      ? { of: 'output', ordinal: random.pick(before) }
      : { of: 'input', member: random.chance(0.8) ? 'list' : 'three' };
  return {
    from: isMatrix || random.chance(0.6) ? { of: 'text', items: drawItems(random, isMatrix) } : asked,
    isMatrix,
    concurrency: random.chance(0.6) ? random.whole(1, 3) : null,
    failuresMax: random.chance(0.5) ? random.whole(1, 2) : 0,
  };
}

function drawItems(random: Random, isMatrix: boolean): Value[] {
  if (isMatrix) {
    const [rows, columns] = [random.whole(0, 3), random.whole(1, 3)];
    return Array.from({ length: rows * columns }, (_, place) => ({
      a: Math.floor(place / columns),
      b: place % columns,
    }));
  }
  const length = random.chance(0.15) ? 0 : random.chance(0.7) ? random.whole(1, 4) : random.whole(5, 12);
  return Array.from({ length }, () => `k${random.whole(0, 2)}`);
}

/** What a worker brings. */
export function drawOutput(random: Random, { yields }: LanguageTask): Value {
  if (yields === 'truth') return random.chance(0.8);
  if (yields === 'text') return 'text';
  return Array.from({ length: random.whole(0, 4) }, () => `k${random.whole(0, 2)}`);
}
