/** Everybody at once: what happened is recorded by the database, then made again in the model, step by step. */
import { type Member, playAtOnce } from './actors.ts';
import type { Case } from './case.ts';
import { compare, observe } from './observe.ts';
import { type Actor, setStage } from './perform.ts';
import { readRecord } from './record.ts';
import { checkRecordedOrder } from './recorded-order.ts';
import { Disagreement } from './sequential.ts';
import type { Tally } from './tally.ts';

/** In a database whose changes are recorded. `lines`: names for its queues that nobody else uses. */
export async function runAtOnce(
  actor: Actor,
  crew: Member[],
  each: Case,
  { tally, lines }: { tally: Tally; lines: string },
): Promise<void> {
  const stage = await setStage(actor, each, lines);
  const start = await readRecord(actor.sql);
  const t0 = performance.now();
  const calls = await playAtOnce(crew, each, stage);
  const t1 = performance.now();
  const log = await readRecord(actor.sql);
  const models = checkRecordedOrder(each, stage, { start, log, calls, tally });
  const t2 = performance.now();
  tally.count('ms play', Math.round(t1 - t0));
  tally.count('ms check', Math.round(t2 - t1));
  tally.count('calls', calls.length);
  for (const c of calls)
    tally.count(
      `call ${c.actor} ${c.move.move} ${c.answers.length === 0 || c.answers[0] === '0' ? 'empty' : ''}`,
    );
  const rows = await observe(actor.sql, stage);
  const differences = models.flatMap((model, process) => {
    const own = rows[process];
    return own ? compare(model, own) : [`process ${process} is gone`];
  });
  if (differences.length > 0) throw new Disagreement(['At the end:', ...differences].join('\n'));
}
