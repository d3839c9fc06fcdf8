/**
 * Processes against the model: random graphs, random luck, random people. In most cases one move is made at a time
 * and everything compared after each; in the others everybody acts at once, and the order that the database
 * recorded is made again in the model.
 *
 *   SKIPJACK_TEST_SEED=…   the seed of an earlier run; it is printed at the start and with every failure
 *   SKIPJACK_TEST_CASE=…   this case alone
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
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

const casesOneByOne = 340;
/** Added where luck left something rare. */
const casesMoreMax = 200;
const casesAtOnce = 200;
/** Numbers of cases begin here in which everybody acts at once. */
const firstAtOnce = 10_000;
const timesMin = 50;
const casesPerAudit = 25;
const timeoutMs = 900_000;

const seed = Number(process.env.SKIPJACK_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const only = process.env.SKIPJACK_TEST_CASE === undefined ? null : Number(process.env.SKIPJACK_TEST_CASE);
const tally = createTally();

beforeAll(() => {
  console.log(
    `SKIPJACK_TEST_SEED=${seed}${only === null ? '' : ` SKIPJACK_TEST_CASE=${only}, and no other`}`,
  );
});

afterAll(() => {
  console.log(`What occurred how often, with seed ${seed}:\n${tally.table()}`);
});

/** What goes wrong names its case. */
async function runCase(number: number, run: (each: Case) => Promise<unknown>): Promise<void> {
  if (only !== null && number !== only) return;
  try {
    await run(drawCase(number, seedOf(seed, number)));
    tally.count('cases');
  } catch (error) {
    const again = `SKIPJACK_TEST_SEED=${seed} SKIPJACK_TEST_CASE=${number} npx vitest run test/model`;
    throw new Error(`Case ${number} of seed ${seed}; again: ${again}\n${(error as Error).stack}`);
  }
}

async function auditNowAndThen({ db }: TestDatabase, number: number): Promise<void> {
  if (number % casesPerAudit === 0) expect(await auditDatabase(db.pool), `after case ${number}`).toEqual([]);
}

test('the model imports nothing but itself', () => {
  for (const file of ['model.ts', 'task-model.ts']) {
    const text = readFileSync(path.join(import.meta.dirname, file), 'utf8');
    const from = [...text.matchAll(/^(?:import|export|\}) .*from '(.*)'|import\((.*)\)/gm)].map(
      (found) => found[1],
    );
    expect(from).toEqual(file === 'model.ts' ? ['./task-model.ts'] : []);
  }
});

test.concurrent('one move at a time: after every move the product stands as the model does, and it answered the same', {
  timeout: timeoutMs,
}, async ({ database }) => {
  const observe = await createObserver(await database.connect());
  for (let number = 0; number < casesOneByOne; number += 1) {
    await runCase(number, (each) =>
      runSequentially(database, each, { observe, tally, lines: `case ${number}` }),
    );
    await auditNowAndThen(database, number);
  }
});

test.concurrent('everybody at once: in the order in which it took effect, each move did what it does in the model', {
  timeout: timeoutMs,
}, async ({ database }) => {
  const observe = await createObserver(await database.connect());
  await installRecord(database.sql);
  const crew = await openCrew(database.url);
  try {
    for (let number = firstAtOnce; number < firstAtOnce + casesAtOnce; number += 1) {
      await runCase(number, (each) =>
        runAtOnce(database, crew, each, { observe, tally, lines: `case ${number}` }),
      );
      await auditNowAndThen(database, number);
    }
  } finally {
    await Promise.all(crew.map((member) => member.close()));
  }
});

test('the same seed makes the same moves', async ({ database }) => {
  const observe = await createObserver(await database.connect());
  for (const number of [1, 2, 3]) {
    const run = (lines: string) =>
      runSequentially(database, drawCase(number, seedOf(seed, number)), {
        observe,
        tally: createTally(),
        lines: `${lines} ${number}`,
      });
    const once = await run('once');
    expect(once.length).toBeGreaterThan(3);
    expect(await run('again')).toEqual(once);
  }
});

test(`each construct and each end occurred at least ${timesMin} times`, { timeout: timeoutMs }, async ({
  database,
}) => {
  if (only !== null) return console.log('One case alone: how often things occurred is not judged.');
  const observe = await createObserver(await database.connect());
  const last = casesOneByOne + casesMoreMax;
  for (let number = casesOneByOne; number < last && tally.rare(timesMin).length > 0; number += 1)
    await runCase(number, (each) =>
      runSequentially(database, each, { observe, tally, lines: `case ${number}` }),
    );
  expect(tally.rare(timesMin)).toEqual([]);
});
