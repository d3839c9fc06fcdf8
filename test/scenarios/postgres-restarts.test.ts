/** Postgres is restarted in immediate mode (as after a crash) three times under load. */
import { existsSync } from 'node:fs';
import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { auditDatabase } from '../../src/database/auditor.ts';
import { migrateDatabase } from '../../src/database/migrate.ts';
import { startDebian } from '../support/postgres.ts';
import { startProgram, until } from '../support/program.ts';

const binaries = '/usr/lib/postgresql/15/bin';
const missing = !existsSync(`${binaries}/postgres`);
if (missing) console.log(`skipped: no Postgres in ${binaries} (apt-get install postgresql-15)`);

describe.skipIf(missing)('Postgres crashes three times with more than 1,000 tasks in flight', () => {
  test('no OS process exits, every accepted task ends, nothing is unsound', async () => {
    const server = await startDebian(binaries);
    onTestFinished(() => server.stop());
    await migrateDatabase(server.url);
    const env = { DATABASE_URL: server.url, SKIPJACK_PORT: '0' };
    const programs = [startProgram(['server'], env)];
    const { url } = JSON.parse((await programs[0]?.untilSays('ready')) ?? '') as { url: string };

    const accepted = new Set<string>();
    const unknown: string[] = [];
    let posting = true;
    /** A client as people write it: it repeats with its key until it is answered. */
    async function post(key: string) {
      for (;;) {
        const response = await fetch(`${url}/v1/tasks`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ command: 'true', idempotency_key: key }),
        }).catch(() => null);
        if (response && (response.status === 201 || response.status === 200)) {
          accepted.add(((await response.json()) as { id: string }).id);
          return;
        }
        // Away for a moment: it must say so, and nothing worse.
        if (response && response.status !== 503) unknown.push(`${response.status} ${await response.text()}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
    const posters = Array.from({ length: 20 }, async (_, poster) => {
      for (let number = 0; posting && number < 1_000; number += 1) await post(`${poster}-${number}`);
    });

    const ask = async (sql: string) => {
      const client = new pg.Client({ connectionString: server.url });
      client.on('error', () => {});
      await client.connect();
      try {
        return (await client.query(sql)).rows;
      } finally {
        await client.end();
      }
    };
    const live = async () =>
      (await ask('select count(*)::integer as live from skipjack.queue_items'))[0].live;
    const done = async () =>
      (await ask(`select count(*)::integer as done from skipjack.tasks where state = 'completed'`))[0].done;
    // Before anybody works on them: else it may take long, where work is quicker than posting.
    await until('so many are accepted', async () => accepted.size > 1_600, 120_000);
    const startWorker = () => startProgram(['worker', '--concurrency', '10', '--lease', '3s'], env);
    programs.push(startWorker(), startWorker());
    await until('work is under way', async () => (await done()) > 0);
    for (let crash = 1; crash <= 3; crash += 1) {
      const before = await done();
      await until('more than 1,000 are in flight', async () => (await live()) >= 1_000);
      await server.restartImmediately();
      await until('work goes on', async () => (await done()) > before);
    }
    posting = false;
    await Promise.all(posters);
    await until('everything has ended', async () => (await live()) === 0, 240_000);

    expect(programs.map((program) => program.child.exitCode)).toEqual([null, null, null]);
    expect(unknown).toEqual([]);
    const states = await ask('select state, count(*)::integer from skipjack.tasks group by 1');
    expect(states).toEqual([{ state: 'completed', count: accepted.size }]);
    expect(accepted.size).toBeGreaterThan(1_000);
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    expect(await auditDatabase(client)).toEqual([]);
    const { rows } = await client.query('select sum(deadlocks)::integer as deadlocks from pg_stat_database');
    expect(rows[0].deadlocks).toBe(0);
    await client.end();
    console.log(`${accepted.size} tasks accepted and completed over three crashes`);
    for (const program of programs) await program.kill('SIGTERM');
  }, 400_000);
});
