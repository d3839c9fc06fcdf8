import { expect } from 'vitest';
import { test } from '../support/database.ts';
import { openCrew } from './actors.ts';
import { runAtOnce } from './at-once.ts';
import { drawCase } from './case.ts';
import { seedOf } from './random.ts';
import { installRecord } from './record.ts';
import { runSequentially } from './sequential.ts';
import { createTally } from './tally.ts';

const seed = Number(process.env.SKIPJACK_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const N = Number(process.env.N ?? 100);
test('cases', async ({ database }) => {
  console.log('seed', seed);
  const tally = createTally();
  const began = performance.now();
  const errors: string[] = [];
  const crew = process.env.CON ? await openCrew(database.url) : [];
  if (process.env.CON) await installRecord(database.sql as never);
  for (let number = Number(process.env.FROM ?? 0); number < N; number += 1) {
    const each = drawCase(number, seedOf(seed, number));
    try {
      if (process.env.CON) await runAtOnce(database, crew, each, { tally, lines: `s${number}` });
      else await runSequentially(database, each, { tally, lines: `s${number}` });
    } catch (error) {
      errors.push(`seed ${seed} case ${number} ${(error as Error).stack}`);
      if (process.env.FIRST) throw error;
    }
  }
  console.log(tally.table([]));
  console.log(performance.now() - began);
  for (const member of crew) await member.close();
  console.log(
    errors.length,
    errors
      .map((e) => {
        const l = e.split('\n');
        const i = l.findIndex((x) => x.startsWith('after the '));
        return i < 0 ? e : [...l.slice(0, i), '...', ...l.slice(Math.max(i, l.length - 12))].join('\n');
      })
      .join('\n\n'),
  );
  expect(errors).toHaveLength(0);
}, 600_000);
