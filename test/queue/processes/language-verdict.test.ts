/** The SQL of settle for clean-up tasks and items against the pure functions, in every state of their process. */
import { expect } from 'vitest';
import { newId } from '../../../src/core/ids.ts';
import { type Attempted, effectOf, judge, type OfProcess, processAfter } from '../../../src/core/outcomes.ts';
import { type ClaimOutcome, settleTasks } from '../../../src/queue/settle.ts';
import { test } from '../../support/database.ts';
import { type Layout, layOut, type Shape, standings } from './language-cases.ts';

const outcomes = ['completed', 'failed', 'timed_out', 'cancelled', 'released', 'lost'] as const;
const yesNo = [true, false];

interface Case {
  layout: Layout;
  attempted: Attempted;
  process: OfProcess;
}

/** x ends; d needs it; o runs beside it. Of an item: its each waits for it alone. */
function shapeOf({ runsOnFailure = false, runsOnCancel = false, isItem = false }: OfProcess): Shape {
  const spared = { onFailure: runsOnFailure, onCancel: runsOnCancel };
  return {
    tasks: {
      x: { is: 'claimed', ...spared, ...(isItem ? { itemOf: 'each' } : {}) },
      ...(isItem ? { each: { is: 'items', ...spared } } : { d: { needs: ['x'] } }),
      o: { is: 'claimed' },
    },
  };
}

function everyCase(): Case[] {
  const all: Case[] = [];
  for (const standing of standings)
    for (const runsOnFailure of yesNo)
      for (const runsOnCancel of yesNo)
        for (const isItem of yesNo)
          for (const continueOnError of yesNo)
            for (const outcome of outcomes)
              for (const retryWanted of outcome === 'failed' ? yesNo : [true])
                for (const attemptsMax of [1, 3])
                  for (const losses of [0, 4]) {
                    const { state, failFast } = standing;
                    const process = { state, failFast, continueOnError, runsOnFailure, runsOnCancel, isItem };
                    const stops = state === 'cancelling' || (state === 'failing' && failFast);
                    const spared = state === 'cancelling' ? runsOnCancel : runsOnFailure;
                    all.push({
                      layout: {
                        id: newId(),
                        name: 'case',
                        shape: shapeOf(process),
                        standing,
                        acts: [
                          {
                            attempts: attemptsMax,
                            losses,
                            expired: outcome === 'lost',
                            coe: continueOnError,
                          },
                        ],
                        taskIds: [newId()],
                      },
                      attempted: {
                        outcome,
                        cancelRequested: stops && !spared,
                        started: true,
                        retryWanted,
                        overdue: false,
                        failures: 0,
                        losses,
                        attemptsMax,
                      },
                      process,
                    });
                  }
  return all;
}

function settlementOf({ layout, attempted }: Case): ClaimOutcome {
  const claim = { taskId: layout.taskIds[0] as string, claimNo: 9, processId: layout.id };
  const { outcome: kind, retryWanted: retry } = attempted;
  if (kind === 'completed') return { ...claim, kind, output: 1 };
  if (kind === 'failed' || kind === 'timed_out')
    return { ...claim, kind, error: { code: 'x', message: 'x' }, retry };
  return { ...claim, kind };
}

function expected({ attempted, process }: Case) {
  const verdict = judge(attempted, process);
  const effect = effectOf(verdict, process);
  const isLive = verdict === 'retry' || verdict === 'again';
  const stopped = process.state === 'cancelling' || (process.state === 'failing' && process.failFast);
  const stops = effect === 'fails' && process.failFast;
  return {
    x: isLive ? 'active' : verdict === 'lost_too_often' ? 'failed' : verdict,
    d: process.isItem
      ? null
      : stopped || effect === 'fails'
        ? 'cancelled'
        : effect === 'advances'
          ? 'active'
          : 'pending',
    asked_to_stop: stopped || stops,
    process: isLive ? process.state : processAfter(process, effect, 1),
    letter: verdict === 'lost_too_often' || (verdict === 'failed' && !process.continueOnError),
  };
}

test('clean-up tasks and items end, and move their process, as the pure functions say', async ({
  database,
}) => {
  const cases = everyCase();
  await layOut(
    database,
    cases.map(({ layout }) => layout),
  );
  for (let at = 0; at < cases.length; at += 500)
    await settleTasks(database.db, cases.slice(at, at + 500).map(settlementOf));
  const rows = await database.sql<{ id: string; found: unknown }>(
    `select process.id, jsonb_build_object('x', x.state, 'd', d.state, 'asked_to_stop', item.cancel_requested,
       'process', process.state, 'letter', letter.task_id is not null) as found
     from skipjack.processes as process
     join skipjack.tasks as x on x.process_id = process.id and x.name = 'x'
     join skipjack.tasks as o on o.process_id = process.id and o.name = 'o'
     join skipjack.queue_items as item on item.task_id = o.id
     left join skipjack.tasks as d on d.process_id = process.id and d.name = 'd'
     left join skipjack.dead_letters as letter on letter.task_id = x.id`,
  );
  const found = new Map(rows.map((row) => [row.id, row.found]));
  expect(found.size).toBe(cases.length);
  for (const each of cases) {
    const { attempted, process, layout } = each;
    expect({ attempted, process, found: found.get(layout.id) }).toEqual({
      attempted,
      process,
      found: expected(each),
    });
  }
});
