/** Plans by the id of their definition. They never change, so what was read once is kept, within a bound. */
import type { Plan } from '../../core/plan.ts';
import type { Database } from '../../database/connection.ts';

/** By the length of their JSON. */
const lettersMax = 32 * 1024 * 1024;

export interface PlanCache {
  get(definitionIds: string[]): Promise<Map<string, Plan>>;
}

export function createPlanCache(db: Database): PlanCache {
  /** The least recently used first. */
  const kept = new Map<string, { plan: Plan; letters: number }>();
  let letters = 0;

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
        if (kept.has(id)) continue;
        kept.set(id, { plan, letters: text.length });
        letters += text.length;
      }
      for (const [id, { letters: freed }] of kept) {
        if (letters <= lettersMax || kept.size === 1) break;
        kept.delete(id);
        letters -= freed;
      }
      return found;
    },
  };
}
