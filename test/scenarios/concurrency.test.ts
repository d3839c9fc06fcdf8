/** A witness outside counts how many run at once. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { test } from '../support/database.ts';
import { startProgram, until } from '../support/program.ts';
import { enqueue } from '../support/tasks.ts';

test('with --concurrency 4, of 100 commands 4 run at once and never 5', async ({ database }) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'skipjack-witness-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const log = path.join(folder, 'log');
  // Appends of one line are atomic: the order of the lines is the order of the events. None of the first is through
  // before four have begun, however long it takes to start one.
  const run =
    'echo + >> "$LOG"; while [ "$(wc -l < "$LOG")" -lt 4 ]; do sleep 0.02; done; sleep 0.02; echo - >> "$LOG"';
  await Promise.all(Array.from({ length: 100 }, () => enqueue(database, { run, env: { LOG: log } })));
  const worker = startProgram(['worker', '--concurrency', '4'], { DATABASE_URL: database.url });
  await until(
    'all have ended',
    async () => (await database.sql('select from skipjack.queue_items limit 1')).length === 0,
  );
  await worker.kill('SIGTERM');

  let running = 0;
  let most = 0;
  const events = readFileSync(log, 'utf8').trim().split('\n');
  for (const event of events) {
    running += event === '+' ? 1 : -1;
    most = Math.max(most, running);
  }
  expect(events).toHaveLength(200);
  expect(most).toBe(4);
}, 120_000);
