/**
 * The process language against the model: random definitions of all constructs, random luck, random people. In most cases
 * one move is made at a time and everything compared after each; in the others everybody acts at once, and how it
 * ends is compared. At last, until everything has occurred often, cases are run in which what is still rare occurs.
 *
 *   SKIPJACK_TEST_SEED=…   the seed of an earlier run; it is printed at the start and with every failure
 *   SKIPJACK_TEST_CASE=…   this case alone
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { auditDatabase } from '../../src/database/auditor.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { openLanguageCrew, runLanguageAtOnce } from './language-at-once.ts';
import { drawLanguageCase, type LanguageCase } from './language-case.ts';
import { type Counts, foreseeCase, pickCase } from './language-foresee.ts';
import { createLanguageObserver } from './language-observe.ts';
import { runLanguageSequentially } from './language-sequential.ts';
import { createLanguageTally } from './language-tally.ts';
import { seedOf } from './random.ts';

const casesOneByOne = 100;
const casesAtOnce = 60;
/** Numbers of cases begin here in which everybody acts at once. */
const firstAtOnce = 10_000;
/** Here those of which many are drawn for each that is run, and how many. */
const firstPicked = 20_000;
const drawnPerPicked = 20;
const casesPickedMax = 700;
const timesMin = 50;
/** What is foreseen does not always come: so often it must be, that what was picked by it will do. */
const timesForeseen = 55;
const casesPerAudit = 20;
const timeoutMs = 900_000;

const seed = Number(process.env.SKIPJACK_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const only = process.env.SKIPJACK_TEST_CASE === undefined ? null : Number(process.env.SKIPJACK_TEST_CASE);
const tally = createLanguageTally();
/**
 * What the model foresaw of the cases so far. By this cases are picked, so that one seed plays the same ones; but for a
 * few at the end, should too little of it have come.
 */
const foreseen = createLanguageTally();

beforeAll(() => {
  console.log(
    `SKIPJACK_TEST_SEED=${seed}${only === null ? '' : ` SKIPJACK_TEST_CASE=${only}, and no other`}`,
  );
});

afterAll(() => {
  console.log(`What occurred how often, with seed ${seed}:\n${tally.table()}`);
});

/** What goes wrong names its case. */
async function runCase(
  number: number,
  run: (each: LanguageCase) => Promise<unknown>,
  given: { isDetermined?: boolean } = {},
): Promise<void> {
  if (only !== null && number !== only) return;
  try {
    await run(drawLanguageCase(number, seedOf(seed, number), given));
    tally.count('cases');
  } catch (error) {
    const again = `SKIPJACK_TEST_SEED=${seed} SKIPJACK_TEST_CASE=${number} npx vitest run test/model/language.test.ts`;
    throw new Error(`Case ${number} of seed ${seed}; again: ${again}\n${(error as Error).stack}`);
  }
}

function countForeseen(counts: Counts): void {
  for (const [what, times] of counts) foreseen.count(what, times);
}

async function auditNowAndThen({ db }: TestDatabase, number: number): Promise<void> {
  if (number === only || (only === null && number % casesPerAudit === 0))
    expect(await auditDatabase(db.pool), `after case ${number}`).toEqual([]);
}

test('the model imports nothing but itself', () => {
  const own = ['plan', 'model', 'ends', 'children', 'people', 'deciding', 'retry', 'thinking'].map(
    (name) => `language-${name}.ts`,
  );
  for (const file of own) {
    const text = readFileSync(path.join(import.meta.dirname, file), 'utf8');
    const from = [...text.matchAll(/^(?:import|export|\}) .*from '(.*)'|import\((.*)\)/gm)].map(
      (found) => found[1] ?? '',
    );
    expect(from.filter((each) => !own.includes(each.slice(2)))).toEqual([]);
  }
});

test('one move at a time: after every move the product stands as the model does, and it answered the same', {
  timeout: timeoutMs,
}, async ({ database }) => {
  const observe = await createLanguageObserver(await database.connect());
  for (let number = 0; number < casesOneByOne; number += 1) {
    await runCase(number, (each) =>
      runLanguageSequentially(database, each, { observe, tally, lines: `case ${number}` }),
    );
    countForeseen(foreseeCase(number, seed).counts);
    await auditNowAndThen(database, number);
  }
});

test('everybody at once: it ends as in the model, whoever comes first', { timeout: timeoutMs }, async ({
  database,
}) => {
  const observe = await createLanguageObserver(await database.connect());
  const crew = await openLanguageCrew(database.url);
  try {
    for (let number = firstAtOnce; number < firstAtOnce + casesAtOnce; number += 1) {
      await runCase(
        number,
        (each) => runLanguageAtOnce(database, crew, each, { observe, tally, lines: `case ${number}` }),
        { isDetermined: true },
      );
      await auditNowAndThen(database, number);
    }
  } finally {
    await Promise.all(crew.map((member) => member.close()));
  }
});

test(`each construct and each end occurred at least ${timesMin} times`, { timeout: timeoutMs }, async ({
  database,
}) => {
  const observe = await createLanguageObserver(await database.connect());
  // Nobody foresees who will be first.
  foreseen.count('at once', timesForeseen);
  for (let place = 0; place < casesPickedMax; place += 1) {
    const toForesee = foreseen.lacking(timesForeseen);
    const lacking = toForesee.size > 0 ? toForesee : tally.lacking(timesMin);
    if (lacking.size === 0) break;
    const numbers = Array.from(
      { length: drawnPerPicked },
      (_, index) => firstPicked + place * drawnPerPicked + index,
    );
    if (only !== null && !numbers.includes(only)) continue;
    const picked = pickCase(numbers, { seed, lacking, times: toForesee.size > 0 ? timesForeseen : timesMin });
    const number = only ?? picked.number;
    countForeseen(picked.counts);
    await runCase(number, (each) =>
      runLanguageSequentially(database, each, { observe, tally, lines: `case ${number}` }),
    );
    await auditNowAndThen(database, number);
  }
  if (only !== null) return console.log('One case alone: how often things occurred is not judged.');
  expect(tally.rare(timesMin)).toEqual([]);
});
