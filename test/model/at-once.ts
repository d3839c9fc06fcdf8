/** Everybody at once: what happened is recorded by the database, then made again in the model, step by step. */
import { type Member, playAtOnce } from './actors.ts';
import type { Case } from './case.ts';
import { compare, type Observer } from './observe.ts';
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
  { observe, tally, lines }: { observe: Observer; tally: Tally; lines: string },
): Promise<void> {
  const stage = await setStage(actor, each, lines);
  const start = await readRecord(actor.sql);
  const calls = await playAtOnce(crew, each, stage);
  const log = await readRecord(actor.sql);
  const models = checkRecordedOrder(each, stage, { start, log, calls, tally });
  const rows = await observe(stage);
  const differences = models.flatMap((model, process) => {
    const own = rows[process];
    return own ? compare(model, own) : [`process ${process} is gone`];
  });
  if (differences.length > 0) throw new Disagreement(['At the end:', ...differences].join('\n'));
}
