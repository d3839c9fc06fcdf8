/**
 * What is skipped because of what was skipped before it, link by link, in one round: each link by itself would take a
 * round of statements.
 *
 * Only where it comes to the same as link by link: nothing else is due of the process, each link needs the one before
 * it and nothing else, and nothing else needs that one. So between two links there is nothing to be decided.
 */
import { crashPoint } from '../../core/crash-point.ts';
import type { Plan } from '../../core/plan.ts';
import type { DueThought } from '../../queue/processes/due-thoughts.ts';
import { type Link, wakeLinks } from '../../queue/processes/wake-links.ts';
import { planOf, processOf, type Round } from './context.ts';
import { onlyDependentOf, thoughtOf } from './thoughts.ts';

/** In one round; what is left over goes on in the next. */
const linksMax = 1_000;

/** `due`: all that is due of the processes of this round. */
export async function skipChains(round: Round, due: DueThought[]): Promise<void> {
  const { tx, acts } = round;
  const skipped = new Set(acts.ends.flatMap(({ taskId, state }) => (state === 'skipped' ? taskId : [])));
  if (skipped.size === 0) return;
  const rowsOf = new Map<string, number>();
  for (const { process_id: id } of due) rowsOf.set(id, (rowsOf.get(id) ?? 0) + 1);
  let left = linksMax;
  const links = due.flatMap((row): Link[] => {
    const { process_id: processId, task_id: taskId, task } = row;
    if (taskId === null || task === null || !skipped.has(taskId) || rowsOf.get(processId) !== 1) return [];
    const process = processOf(round, row);
    if (process.state !== 'running') return [];
    const ordinals = linksBehind(planOf(round, process), task.ordinal, left);
    left -= ordinals.length;
    return ordinals.map((ordinal, place) => ({ processId, ordinal, place }));
  });
  if (links.length === 0) return;
  const woken = await wakeLinks(tx, links);
  crashPoint('engine_links_woken');
  for (const { processId, taskId } of woken) acts.ends.push({ taskId, processId, state: 'skipped' });
}

function linksBehind(plan: Plan, first: number, most: number): number[] {
  const links: number[] = [];
  for (let last = first; links.length < most; ) {
    const next = onlyDependentOf(plan, last);
    const thought = next === null ? null : thoughtOf(plan, next);
    if (next === null || thought?.planned.needs.length !== 1 || !thought.impliesSuccess) break;
    links.push(next);
    last = next;
  }
  return links;
}
