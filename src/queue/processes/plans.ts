/**
 * Plans by the id of their definition. They never change, so what was read once is kept, within a bound; and so are
 * the templates of their tasks, compiled when the first of such a task is claimed.
 */
import type { Plan } from '../../core/plan.ts';
import { readSpec } from '../../core/spec.ts';
import type { Database } from '../../database/connection.ts';
import { compileTask } from '../../expression/task-template.ts';
import { isTemplate } from '../../expression/template.ts';
import type { Asking } from './expressions.ts';

/** By the length of their JSON. */
const lettersMax = 32 * 1024 * 1024;
/** A letter of an expression, compiled, takes up to 60 bytes, one of a plan's JSON 1.7 (measured). */
const weightOfExpressions = 40;

export interface PlanCache {
  get(definitionIds: string[]): Promise<Map<string, Plan>>;
  /** The template of a task of one of these plans; null: there is no expression in it. */
  templateOf(plan: Plan, ordinal: number): Asking | null;
}

export function createPlanCache(db: Database): PlanCache {
  /** The least recently used first. */
  const kept = new Map<string, { plan: Plan; letters: number }>();
  let letters = 0;
  /** By ordinal, of the plans that have templates at all; a plan that is no longer kept takes them with it. */
  const templates = new WeakMap<Plan, Map<number, Asking | null>>();

  return {
    async get(definitionIds) {
      const wanted = [...new Set(definitionIds)];
      const found = new Map<string, Plan>();
      for (const id of wanted) {
        const known = kept.get(id);
        if (!known) continue;
        kept.delete(id);
        kept.set(id, known);
        found.set(id, known.plan);
      }
      const missing = wanted.filter((id) => !found.has(id));
      if (missing.length === 0) return found;
      const { rows } = await db.pool.query<{ id: string; plan: string }>(
        'select id, plan::text as plan from skipjack.definitions where id = any ($1::uuid[])',
        [missing],
      );
      for (const { id, plan: text } of rows) {
        const plan = JSON.parse(text) as Plan;
        found.set(id, plan);
        if (isTemplate(text)) templates.set(plan, new Map());
        if (kept.has(id)) continue;
        const weight =
          text.length + weightOfExpressions * (lettersOfExpressions(text) + lettersOfConditions(plan));
        kept.set(id, { plan, letters: weight });
        letters += weight;
      }
      for (const [id, { letters: freed }] of kept) {
        if (letters <= lettersMax || kept.size === 1) break;
        kept.delete(id);
        letters -= freed;
      }
      return found;
    },
    templateOf(plan, ordinal) {
      const known = templates.get(plan);
      if (!known) return null;
      const compiled = known.get(ordinal);
      if (compiled !== undefined) return compiled;
      const asking = compile(plan, ordinal);
      known.set(ordinal, asking);
      return asking;
    },
  };
}

function compile(plan: Plan, ordinal: number): Asking | null {
  const planned = plan.tasks[ordinal - 1];
  if (!planned) return null;
  const template = compileTask({ spec: readSpec(planned.spec), input: planned.input });
  if (template.asks === null) return null;
  const { asks: named } = template;
  const asks = plan.tasks.flatMap(({ name }, index) => {
    const members = named.get(name);
    return members ? [{ name, ordinal: index + 1, members }] : [];
  });
  return { template, asks };
}

function lettersOfExpressions(text: string): number {
  let sum = 0;
  for (const [expression] of text.matchAll(/\$\{\{[^}]{0,4000}/g)) sum += expression.length;
  return sum;
}

/** They stand bare. */
function lettersOfConditions({ tasks }: Plan): number {
  return tasks.reduce((sum, { if: condition }) => sum + (condition?.length ?? 0), 0);
}
