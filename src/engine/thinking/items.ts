/** The items of an `each`, or of a `matrix`, of what their templates came to. */
import type { Json } from '../../core/json.ts';
import { planLimits } from '../../core/plan.ts';
import type { TaskError } from '../../core/task.ts';
import { expressionLimits } from '../../expression/limits.ts';
import { show } from './times.ts';

export type Items = { items: Json[] } | { error: TaskError };

export function readItems(value: Json): Items {
  if (!Array.isArray(value))
    return { error: { code: 'not_a_list', message: `each takes a list, not ${show(value)}` } };
  return value.length > planLimits.itemsMax ? tooMany(`each has ${value.length} items`) : { items: value };
}

/** The last member goes round first. */
export function combine(members: { name: string; values: Json }[]): Items {
  let count = 1;
  let letters = 0;
  for (const { name, values } of members) {
    if (!Array.isArray(values)) {
      const message = `matrix.${name} takes a list, not ${show(values)}`;
      return { error: { code: 'not_a_list', message } };
    }
    // Of all items together, so far: each value stands in as many items as the others have combinations.
    letters = letters * values.length + count * JSON.stringify(values).length;
    count *= values.length;
  }
  if (count > planLimits.itemsMax) return tooMany(`matrix has ${count} combinations`);
  if (letters > expressionLimits.itemsLettersMax)
    return tooMany(`matrix has combinations of ${letters} letters`);
  let items: [string, Json][][] = [[]];
  for (const { name, values } of members)
    items = items.flatMap((item) =>
      (values as Json[]).map((value) => [...item, [name, value] as [string, Json]]),
    );
  return { items: items.map((entries) => Object.fromEntries(entries)) };
}

function tooMany(what: string): { error: TaskError } {
  const message = `${what}; at most ${planLimits.itemsMax} are taken, of ${expressionLimits.itemsLettersMax} letters together`;
  return { error: { code: 'too_many_items', message } };
}
