/**
 * Secrets end to end: programs say them in every way that they have, and nobody who looks at what the database, the
 * servers and the workers keep and say finds them.
 *
 * What is looked for: any 8 characters in a row of what is random in the values (48 letters of the token, each line of
 * the key), and any 16 of the token's base64 and of the hex of both. By chance none of them stands anywhere.
 */
import { randomInt } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import type { TaskInput } from '../../src/core/task-input.ts';
import { migrateDatabase } from '../../src/database/migrate.ts';
import { createDatabase, expectSound } from '../support/database.ts';
import { findTestRuntime, testImage } from '../support/docker.ts';
import { freePort, startDebian } from '../support/postgres.ts';
import { until } from '../support/program.ts';
import { makeFolder, makeSubfolder, type Server, startServer, startWorker } from './support/scene.ts';

const runtime = await findTestRuntime();
const binaries = '/usr/lib/postgresql/15/bin';
const isDebian = existsSync(`${binaries}/pg_dump`);
if (!isDebian) console.log(`no pg_dump in ${binaries}: every table is read by SQL alone`);

/** No hexadecimal digits: ids are full of them. */
const letters = [...'GHJKLMNPQRSTUVWXYZghijklmnopqrstuvwxyz'];
const random = (length: number) => Array.from({ length }, () => letters[randomInt(letters.length)]).join('');
const [firstHalf, secondHalf] = [random(24), random(24)];
/** What JSON escapes, and what is no ASCII, in its middle. */
const token = `${firstHalf}"\\é<${secondHalf}`;
const pemLines = [random(64), random(64), random(40)];
const pem = `-----BEGIN TEST KEY-----\n${pemLines.join('\n')}\n-----END TEST KEY-----`;

const reference = (name: string) => `\${{ secrets.${name} }}`;
const env = { TOKEN: reference('TOKEN'), PEM: reference('PEM') };

/** Says both secrets to all that it can, in whatever form; the first half and the second with a pause between them. */
const tell = `
rest=\${TOKEN#${'?'.repeat(firstHalf.length)}}
escaped=$(printf %s "$TOKEN" | sed 's/\\\\/\\\\\\\\/g; s/"/\\\\"/g')
say() {
  printf 'whole %s.\\n' "$TOKEN"
  printf 'halves '; printf '%.${firstHalf.length}s' "$TOKEN"; sleep 0.3; printf '%s.\\n' "$rest"
  printf 'base64 '; printf %s "$TOKEN" | base64 | tr -d '\\n'; echo .
  printf 'json "%s".\\n' "$escaped"
  printf '%s\\n' "$PEM"
  printf '%s\\n' "$PEM" | while read -r line; do echo "pem: $line."; done
}
say
say >&2
printf '{"at": "%s"}' "$escaped" > "$SKIPJACK_PROGRESS"
printf '{"%s": 1, "whole": "' "$escaped" > "$SKIPJACK_OUTPUT"
sleep 0.1
printf '%s", "in": ["x %s y"]}' "$escaped" "$escaped" >> "$SKIPJACK_OUTPUT"
while [ -n "$GO" ] && [ ! -e "$GO" ]; do sleep 0.1; done
`;
const tellAndFail = `${tell}\nprintf 'last words %s\\n' "$TOKEN" >&2; exit 3`;

/** Any 8 (16) characters in a row of what nobody may find. */
const needles = new Set<string>();
for (const [text, length] of [
  [firstHalf, 8],
  [secondHalf, 8],
  ...pemLines.map((line) => [line, 8] as const),
  [Buffer.from(token).toString('base64').replace(/=+$/, ''), 16],
  [Buffer.from(firstHalf).toString('hex'), 16],
  [Buffer.from(secondHalf).toString('hex'), 16],
  [Buffer.from(pemLines.join('\n')).toString('hex'), 16],
] as const)
  for (let start = 0; start + length <= text.length; start += 1)
    needles.add(text.slice(start, start + length));

/** Where one of the needles stands, with what stands around it. */
function findLeaks(text: string): string[] {
  const leaks: string[] = [];
  for (const length of [8, 16]) {
    for (let at = 0; at + length <= text.length; at += 1)
      if (needles.has(text.slice(at, at + length)))
        leaks.push(text.slice(Math.max(0, at - 80), at + length + 20));
  }
  return leaks.slice(0, 3);
}

/** Every row of every table and materialized view, with every column. */
async function readWholeDatabase(client: pg.Client): Promise<{ text: string; tables: number }> {
  const { rows } = await client.query<{ name: string }>(
    `select format('%I.%I', nspname, relname) as name
     from pg_class join pg_namespace on pg_namespace.oid = relnamespace
     where relkind in ('r', 'm', 'p') and nspname not in ('pg_catalog', 'information_schema')`,
  );
  const parts: string[] = [];
  for (const { name } of rows) {
    const table = await client.query<{ row: string }>(`select kept::text as row from ${name} as kept`);
    parts.push(name, ...table.rows.map(({ row }) => row));
  }
  return { text: parts.join('\n'), tables: rows.length };
}

async function openDatabase(): Promise<string> {
  if (!isDebian) {
    const { url, drop } = await createDatabase();
    onTestFinished(drop);
    return url;
  }
  const postgres = await startDebian(binaries);
  onTestFinished(() => postgres.stop());
  await migrateDatabase(postgres.url);
  return postgres.url;
}

/** Command lines of this machine's processes on which a secret stands. */
function leaksOnCommandLines(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        // It has ended.
        return '';
      }
    })
    .filter((line) => line.includes(firstHalf) || line.includes(pemLines[0] as string));
}

async function getText(url: string): Promise<string> {
  const response = await fetch(url);
  expect(response.status, url).toBe(200);
  return response.text();
}

/** All that is shown of a task to who asks for it. */
async function shown({ url }: Server, id: string): Promise<string> {
  return (
    await Promise.all([`${url}/v1/tasks/${id}`, `${url}/v1/tasks/${id}/logs?limit=500`].map(getText))
  ).join('\n');
}

test('a secret that programs say in every way is found nowhere', async () => {
  const url = await openDatabase();
  const server = await startServer(url);
  const { client } = server;
  const folder = makeFolder();
  const shared = makeSubfolder(folder, 'shared');
  const secrets = makeSubfolder(folder, 'secrets');
  writeFileSync(path.join(secrets, 'PEM'), `${pem}\n`);
  const policy = path.join(folder, 'policy.yaml');
  writeFileSync(policy, `containers: { mounts: [${shared}] }\n`);
  const own = { SKIPJACK_SECRET_TOKEN: token, SKIPJACK_SECRETS_DIR: secrets, SKIPJACK_LOG_LEVEL: 'trace' };
  const metricsPort = String(await freePort());
  const flags = ['--policy', policy, ...(runtime === null ? [] : ['--container-runtime', runtime.file])];
  const workers = [
    await startWorker([...flags, '--metrics-port', metricsPort], { ...own, DATABASE_URL: url }),
    await startWorker(flags, { ...own, SKIPJACK_URL: server.url }),
  ];
  const go = path.join(shared, 'go');
  const mounts: TaskInput['mounts'] = [{ type: 'bind', source: shared, target: '/shared' }];
  const container = { image: testImage, mounts, env: { ...env, GO: '/shared/go' } };
  const enqueueAll = async (tasks: Record<string, TaskInput>) => {
    const ids: Record<string, string> = {};
    for (const [name, task] of Object.entries(tasks))
      ids[name] = (await client.enqueue({ name, ...task })).id;
    return ids;
  };

  // While secrets are given by the environment alone, no command line of the machine shows them.
  const onCommandLines = new Set<string>();
  let isWatching = true;
  const watching = (async () => {
    for (; isWatching; await pause(10)) for (const line of leaksOnCommandLines()) onCommandLines.add(line);
  })();
  const byEnvironment = await enqueueAll({
    script: { run: tell, env: { ...env, GO: go } },
    'failing script': { run: tellAndFail, env: { ...env, GO: go } },
    command: { command: 'sh', args: ['-c', tell], env: { ...env, GO: go } },
    ...(runtime === null
      ? {}
      : {
          container: {
            ...container,
            run: tell,
            pre: [{ image: testImage, env, run: 'echo "pre $TOKEN"; echo "$PEM"' }],
            sidecars: [{ name: 'beside', image: testImage, env, run: 'echo "beside $TOKEN"; sleep 1000' }],
          },
          'failing container': { ...container, run: tellAndFail },
        }),
  });
  const whileRunning: string[] = [];
  for (const id of Object.values(byEnvironment)) {
    await until('its progress is known', async () => (await client.getTask(id)).progress !== null);
    expect((await client.getTask(id)).progress).toEqual({ at: '***' });
    whileRunning.push(await shown(server, id));
  }
  whileRunning.push((await readAll(url)).text);
  isWatching = false;
  await watching;
  expect([...onCommandLines]).toEqual([]);
  writeFileSync(go, '');

  const others = await enqueueAll({
    'in an argument': { command: 'sh', args: ['-c', 'echo "$0"; echo "$0" >&2', env.TOKEN] },
    'as the output, and no JSON': { run: 'printf %s "$TOKEN" > "$SKIPJACK_OUTPUT"', env },
    'as the output, broken': { run: `printf '{"a": 1, %s' "$TOKEN" > "$SKIPJACK_OUTPUT"`, env },
    'as progress, and no JSON': { run: 'printf %s "$TOKEN" > "$SKIPJACK_PROGRESS"; sleep 4', env },
    'named as a file': { run: '"$TOKEN"', env },
    'without a newline, at the end': {
      run: `printf '%.30s' "$TOKEN"; sleep 0.2; printf %s "\${TOKEN#${'?'.repeat(30)}}"`,
      env,
    },
    'past the limit of what is kept': {
      run: `i=0; while [ $i -lt 40000 ]; do echo "$i $TOKEN $PEM"; i=$((i + 1)); done; echo "$TOKEN" >&2; exit 1`,
      env,
    },
    'out of time': { run: 'echo "$TOKEN"; echo "$TOKEN" >&2; sleep 1000', env, timeout: '1s' },
    ...(runtime === null
      ? {}
      : {
          'in a cmd': { image: testImage, cmd: ['sh', '-c', 'echo "$0"; echo "$0" >&2; exit 1', env.TOKEN] },
          'as a program': { image: testImage, cmd: [env.TOKEN] },
          // Wherever a message is cut, it is cut within one.
          'as a program, many times': { image: testImage, entrypoint: [`/${env.TOKEN}`.repeat(20)] },
          'in a failing pre': {
            image: testImage,
            pre: [{ image: testImage, env, run: 'echo "$TOKEN" >&2; exit 1' }],
            cmd: ['true'],
          },
        }),
  });
  const input = { text: env.TOKEN, list: [`before ${env.TOKEN} after`] };
  const reading = await enqueueAll({
    reading: { run: 'cp "$SKIPJACK_INPUT" "$SKIPJACK_OUTPUT"', env, input },
  });
  const asking = await client.enqueue({ name: 'ask', queue: 'people', input });
  const claims = await client.claim({ queues: ['people'], waitMs: 10_000 });
  expect(claims.map((claim) => [claim.id, claim.input])).toEqual([[asking.id, input]]);

  const all = { ...byEnvironment, ...others, ...reading };
  const ended = new Map<string, Awaited<ReturnType<typeof client.getTask>>>();
  for (const [name, id] of Object.entries(all))
    ended.set(name, await client.waitForTask(id, { waitMs: 100_000 }));

  // They did say it, and it was hidden; the text that only looks like a reference is what it was.
  for (const name of Object.keys(byEnvironment)) {
    const task = ended.get(name);
    const isFailing = name.startsWith('failing');
    expect([name, task?.state]).toEqual([name, isFailing ? 'failed' : 'completed']);
    if (isFailing) expect(task?.error?.message).toMatch(/last words \*\*\*$/);
    else expect(task?.output).toEqual({ '***': 1, whole: '***', in: ['x *** y'] });
    const { lines } = await client.listTaskLogs(task?.id ?? '', { limit: 500 });
    for (const stream of ['stdout', 'stderr']) {
      const texts = lines
        .filter((line) => line.stream === stream && line.part === null)
        .map(({ text }) => text);
      expect(texts).toEqual(
        expect.arrayContaining([
          'whole ***.',
          'halves ***.',
          'base64 ***.',
          'json "***".',
          '***',
          'pem: ***.',
        ]),
      );
    }
  }
  expect(ended.get('reading')?.output).toMatchObject({ input });
  expect(ended.get('in an argument')?.output).toBe('***');
  expect(ended.get('without a newline, at the end')?.output).toBe('***');

  const deadLetters = await client.listDeadLetters({}, { limit: 500 });
  expect(deadLetters.dead_letters.length).toBeGreaterThanOrEqual(2);
  const places: Record<string, string> = {
    'the servers said': server.stderr(),
    'the workers said': workers.map((worker) => worker.stderr()).join('\n'),
    'metrics of the server': await getText(`${server.url}/metrics`),
    'metrics of the worker': await getText(`http://127.0.0.1:${metricsPort}/metrics`),
    lists: (
      await Promise.all(
        ['/v1/tasks', '/v1/dead-letters', '/v1/workers', '/v1/stats'].map((each) =>
          getText(server.url + each),
        ),
      )
    ).join('\n'),
    'shown while they ran': whileRunning.join('\n'),
  };
  for (const [name, id] of Object.entries(all)) places[`shown of ${name}`] = await shown(server, id);
  for (const { id } of deadLetters.dead_letters)
    places[`dead letter ${id}`] = await getText(`${server.url}/v1/dead-letters/${id}`);
  const { text, tables } = await readAll(url);
  places['every table'] = text;
  if (isDebian) {
    const { stdout } = await execa(`${binaries}/pg_dump`, ['--inserts', url]);
    // It is a dump of what we mean.
    for (const id of Object.values(all)) expect(stdout).toContain(id);
    expect(stdout).toContain('halves ***.');
    places.pg_dump = stdout;
  }
  expect(
    Object.entries(places).flatMap(([place, what]) => findLeaks(what).map((leak) => `${place}: ${leak}`)),
  ).toEqual([]);

  for (const worker of workers) await worker.kill('SIGTERM');
  await server.program.kill('SIGTERM');
  const said = [server.stderr(), ...workers.map((worker) => worker.stderr())].join('\n');
  expect(findLeaks(said)).toEqual([]);
  const audit = new pg.Client({ connectionString: url });
  await audit.connect();
  await expectSound(audit);
  await audit.end();
  const sizes = Object.values(places).reduce((sum, what) => sum + what.length, 0);
  console.log(
    `${Object.keys(places).length} places, ${(sizes / 1e6).toFixed(1)} million characters, ${tables} tables, ${Object.keys(all).length} tasks`,
  );
}, 240_000);

async function readAll(url: string) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await readWholeDatabase(client);
  } finally {
    await client.end();
  }
}
