/**
 * Processes against the model: random graphs, random luck, random people. Half of the cases make one move at a
 * time and compare everything after each; in the other half everybody acts at once, and the order that the database
 * recorded is made again in the model.
 *
 *   SKIPJACK_TEST_SEED=…   the seed of an earlier run; it is printed at the start and with every failure
 *   SKIPJACK_TEST_CASE=…   only this case
 */
import { afterAll, beforeAll, expect } from 'vitest';
import { auditDatabase } from '../../src/database/auditor.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { openCrew } from './actors.ts';
import { runAtOnce } from './at-once.ts';
import { type Case, drawCase } from './case.ts';
import { createObserver } from './observe.ts';
import { seedOf } from './random.ts';
import { installRecord } from './record.ts';
import { runSequentially } from './sequential.ts';
import { createTally } from './tally.ts';

const casesOneByOne = 400;
const casesAtOnce = 200;
const timesMin = 50;
const casesPerAudit = 25;
const timeoutMs = 600_000;

const seed = Number(process.env.SKIPJACK_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const only = process.env.SKIPJACK_TEST_CASE === undefined ? null : Number(process.env.SKIPJACK_TEST_CASE);
const tally = createTally();

beforeAll(() => {
  console.log(`SKIPJACK_TEST_SEED=${seed}${only === null ? '' : ` SKIPJACK_TEST_CASE=${only}`}`);
});

afterAll(() => {
  console.log(`How often, with seed ${seed}:\n${tally.table()}`);
});

/** Cases from `first` on, or the one that is asked for; what goes wrong names its case. */
async function runCases(
  { sql }: TestDatabase,
  { first, count }: { first: number; count: number },
  run: (each: Case) => Promise<unknown>,
): Promise<void> {
  const numbers = Array.from({ length: count }, (_, index) => first + index);
  for (const [index, number] of numbers.filter((each) => only === null || each === only).entries()) {
    try {
      await run(drawCase(number, seedOf(seed, number)));
      if (index % casesPerAudit === 0)
        expect(
          await auditDatabase({ query: async (text: string) => ({ rows: await sql(text) }) } as never),
        ).toEqual([]);
    } catch (error) {
      const again = `SKIPJACK_TEST_SEED=${seed} SKIPJACK_TEST_CASE=${number} npx vitest run test/model`;
      throw new Error(`case ${number} of seed ${seed}; again: ${again}\n${(error as Error).message}`, {
        cause: error,
      });
    }
  }
}

test.concurrent(
  `one move at a time, ${casesOneByOne} cases do what the model does, after every move`,
  async ({ database }) => {
    const observe = await createObserver(await database.connect());
    await runCases(database, { first: 0, count: casesOneByOne }, (each) =>
      runSequentially(database, each, { observe, tally, lines: `case ${each.number}` }),
    );
  },
  timeoutMs,
);

test.concurrent(
  `everybody at once, ${casesAtOnce} cases do what the model does in the order in which it happened`,
  async ({ database }) => {
    const observe = await createObserver(await database.connect());
    await installRecord(database.sql as never);
    const crew = await openCrew(database.url);
    try {
      await runCases(database, { first: casesOneByOne, count: casesAtOnce }, (each) =>
        runAtOnce(database, crew, each, { observe, tally, lines: `case ${each.number}` }),
      );
    } finally {
      for (const member of crew) await member.close();
    }
  },
  timeoutMs,
);

test('the same seed makes the same moves', async ({ database }) => {
  const observe = await createObserver(await database.connect());
  for (const number of [0, 1, 2]) {
    const each = drawCase(number, seedOf(seed, number));
    const [once, again] = [
      await runSequentially(database, each, { observe, tally: createTally(), lines: `once ${number}` }),
      await runSequentially(database, drawCase(number, each.seed), {
        observe,
        tally: createTally(),
        lines: `again ${number}`,
      }),
    ];
    expect(again).toEqual(once);
    expect(once.length).toBeGreaterThan(3);
  }
});

test(`each construct and each end occurred at least ${timesMin} times`, () => {
  if (only !== null)
    return console.log('Only one case was asked for: how often things occurred is not judged.');
  expect(tally.rare(timesMin)).toEqual([]);
});
