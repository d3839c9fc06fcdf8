/**
 * A process started with `skipjack.start_process` in a transaction that rolls back leaves nothing; committed, it runs
 * within the poll at worst and a few milliseconds at best.
 */
import { describe, expect } from 'vitest';
import { openDatabase } from '../../src/database/connection.ts';
import { Engine } from '../../src/engine/engine.ts';
import { openQueue } from '../../src/queue/queue.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { claim } from '../support/tasks.ts';

const definition = `
name: loan
input:
  amount: { type: number, default: 1000 }
  applicant: { type: string, required: true }
tasks:
  - { name: Open, queue: default }
  - { name: Review, queue: default, needs: [Open] }
`;

/** Names of the tables that hold a row. */
async function tablesWithRows({ sql }: TestDatabase): Promise<string[]> {
  const tables = await sql<{ name: string }>(
    `select relname as name from pg_class where relnamespace = 'skipjack'::regnamespace and relkind = 'r' order by 1`,
  );
  const filled: string[] = [];
  for (const { name } of tables)
    if ((await sql(`select from skipjack."${name}" limit 1`)).length > 0) filled.push(name);
  return filled;
}

async function publish({ queue }: TestDatabase): Promise<void> {
  await new Engine({ queue }).publish({ source: definition });
}

describe('skipjack.start_process', () => {
  test('leaves nothing in any table when its transaction rolls back', async ({ database }) => {
    await publish(database);
    const before = await tablesWithRows(database);
    const client = await database.connect();
    await client.query('begin');
    await client.query(
      `select skipjack.start_process('loan', input => '{"applicant": "Ann"}', idempotency_key => 'k')`,
    );
    expect((await client.query('select from skipjack.queue_items')).rows).toHaveLength(1);
    await client.query('rollback');
    expect(await tablesWithRows(database)).toEqual(before);
    expect(before).not.toContain('processes');

    const [row] = await database.sql(
      `select skipjack.start_process('loan', input => '{"applicant": "Ann"}', idempotency_key => 'k') as id`,
    );
    expect(row?.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  });

  test('wakes a claim that waits in another connection when its transaction commits: by the hint, long before a poll', async ({
    database,
  }) => {
    await publish(database);
    const db = openDatabase({ url: database.url });
    await db.hints.ready();
    // It would look again after an hour, and who waits would have left empty-handed.
    const queue = openQueue(db, { pollIntervalMs: 3_600_000 });
    const waiting = claim({ queue }, { waitMs: 50_000 });
    const client = await database.connect();
    await client.query('begin');
    await client.query(`select skipjack.start_process('loan', '{"applicant": "Ann"}')`);
    expect(await claim({ queue })).toEqual([]);
    await client.query('commit');
    const [task] = await waiting;
    expect(task).toMatchObject({
      name: 'Open',
      process: { definition: 'loan', version: 1, input: { applicant: 'Ann', amount: 1000 } },
    });
    await queue.close();
    await db.close();
  });

  test('is found by the poll where no hint arrives', async ({ database }) => {
    await publish(database);
    const deaf = openDatabase({ url: database.url, listenUrl: null });
    const queue = openQueue(deaf, { pollIntervalMs: 200 });
    const waiting = claim({ queue }, { waitMs: 30_000 });
    // It has looked once, found nothing, and will hear of nothing.
    await claim({ queue });
    await database.sql(`select skipjack.start_process('loan', '{"applicant": "Ann"}')`);
    expect(await waiting).toMatchObject([{ name: 'Open' }]);
    await queue.close();
    await deaf.close();
  });

  test('is found by the library, key and all: both are the same way in', async ({ database }) => {
    await publish(database);
    const engine = new Engine({ queue: database.queue });
    const [row] = await database.sql<{ id: string }>(
      `select skipjack.start_process('loan', '{"applicant": "Ann"}', idempotency_key => 'k', version => 1) as id`,
    );
    const again = await engine.start('loan', {
      input: { applicant: 'Ann' },
      version: 1,
      idempotencyKey: 'k',
    });
    expect(again).toMatchObject({ created: false, process: { id: row?.id } });
    const process = engine.process(row?.id ?? '');
    await process.complete('Open');
    await process.complete('Review', 'fine');
    expect(await process.read()).toMatchObject({ state: 'completed', output: { Review: 'fine' } });
  });

  test('takes its parameters by name, in any order', async ({ database }) => {
    await publish(database);
    await new Engine({ queue: database.queue }).publish({ source: `${definition}# 2` });
    const [row] = await database.sql<{ id: string }>(
      `select skipjack.start_process(version => 1, definition => 'loan', input => '{"applicant": "Ann", "amount": 2}') as id`,
    );
    expect(
      await database.sql(
        `select version, name, state, percent, pending, active from skipjack.process_progress where id = $1`,
        [row?.id],
      ),
    ).toEqual([{ version: 1, name: 'loan', state: 'running', percent: 0, pending: '1', active: '1' }]);
  });

  test('refuses in a sentence with a hint, and names every input that is wrong', async ({ database }) => {
    await publish(database);
    await database.sql(`select skipjack.start_process('loan', '{"applicant": "Ann"}', 'k')`);
    const refused: [call: string, code: string, message: RegExp, hint: RegExp | undefined][] = [
      [`(null)`, '22023', /^name the definition of the process$/, undefined],
      [`('laon')`, '22023', /^not_found: there is no definition "laon"$/, /PUT \/v1\/definitions\/\{name\}/],
      [
        `('loan', version => 2)`,
        '22023',
        /^not_found: there is no definition "loan" in version 2$/,
        /PUT \/v1\/definitions\/\{name\}/,
      ],
      [
        `('loan', '{"applicant": "Ann"}', idempotency_key => '')`,
        '22023',
        /^"idempotency_key" has fewer than 1 or more than 200 letters$/,
        undefined,
      ],
      [
        `('loan', '{"applicant": "Bob"}', idempotency_key => 'k')`,
        '23505',
        /^idempotency_conflict: the key "k" started process [0-9a-f-]{36} by another request$/,
        /new key/,
      ],
      [`('loan')`, '22023', /^invalid_input: the input "applicant" is required$/, undefined],
      [
        `('loan', '[]')`,
        '22023',
        /^invalid_input: the input of a process is an object, not array$/,
        undefined,
      ],
      [
        `('loan', '{"amount": "much", "more": 1}')`,
        '22023',
        /^invalid_input: .*amount.* is string, not number.*"applicant" is required.*"more"/s,
        undefined,
      ],
    ];
    for (const [call, code, message, hint] of refused) {
      const error = await database.sql(`select skipjack.start_process${call}`).catch((each) => each);
      expect({ code: error.code, message: error.message, hint: error.hint }, call).toEqual({
        code,
        message: expect.stringMatching(message),
        hint: hint === undefined ? undefined : expect.stringMatching(hint),
      });
    }
    expect(await database.sql('select from skipjack.processes')).toHaveLength(1);
  });
});
