/**
 * Definitions, inputs and events made to harm, while a server serves: each works or is refused with a code and a place,
 * and meanwhile the server answers everybody else.
 */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished } from 'vitest';
import type { Json } from '../../src/core/json.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { until } from '../support/program.ts';
import { type Server, startServer, startWorker } from './support/scene.ts';

/** Longer than this nobody waits for an answer, beyond what this machine makes everybody wait for. */
const patienceMs = 500;

const repeat = (times: number, say: (index: number) => string) =>
  Array.from({ length: times }, (_, index) => say(index)).join('');
const tasks = (count: number, keys: (index: number) => string) =>
  `tasks:\n${repeat(count, (index) => `  - { name: t${index}${keys(index)} }\n`)}`;
const texts = (count: number, letters: number) =>
  Array.from({ length: count }, (_, index) => `${index}`.padEnd(letters, 'x'));
/** A million million turns, if anybody took them. */
const maps = ['a', 'b', 'c', 'd', 'e', 'f'].reduce((inner, name) => `range(100).map(${name}, ${inner})`, '1');
const aliases = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];

/** What is refused when it is sent, with its first problem. */
const refused: [what: string, source: string, problem: string][] = [
  ['lists in lists in lists', '['.repeat(1_000_000), '1:65 too_deep'],
  [
    'aliases of aliases',
    `tasks:\n  - { name: A, each: &x [1,1,1,1,1,1,1,1,1,1] }\n${aliases
      .map(
        (name, at) =>
          `  - { name: ${name}, each: &${name} [${repeat(10, () => `*${aliases[at - 1] ?? 'x'},`)}] }\n`,
      )
      .join('')}`,
    '7:35 too_large',
  ],
  ['a condition of a megabyte', `tasks: [{ name: A, if: "${'x'.repeat(1_000_000)}" }]`, '1:25 too_large'],
  [
    'a pattern that goes back and forth',
    `tasks: [{ name: A, if: '"aaa".matches("(a+)+$")' }]`,
    '1:25 invalid_expression',
  ],
  [
    '__proto__',
    'tasks: [{ name: A, each: [1], input: { __proto__: { polluted: 1 } } }]',
    '1:40 unstorable_value',
  ],
  ['a name of 300 letters', `tasks: [{ name: ${'x'.repeat(300)} }]`, '1:17 invalid_value'],
  ['20,000 tasks', tasks(20_000, () => ''), '2:3 too_many_tasks'],
  ['two megabytes of line feeds', '\n'.repeat(2_000_000), '1500001:1 too_large'],
  [
    'two megabytes of empty lists',
    `tasks: [{ name: A, input: [${'[],'.repeat(600_000)}] }]`,
    '1:1500007 too_large',
  ],
  ['100,000 unknown keys', repeat(100_000, (at) => `k${at}: 1\n`), '1:1 unknown_key'],
  ['ten thousand tasks in a circle', tasks(10_000, (at) => `, needs: [t${(at + 1) % 10_000}]`), '2:25 cycle'],
  [
    'a matrix of 2^20',
    `tasks: [{ name: A, matrix: { ${repeat(20, (at) => `m${at}: [1, 2],`)} } }]`,
    '1:28 invalid_value',
  ],
];

/** What is refused before it is read, and the code. */
const bodies: [what: string, path: string, body: string, code: string][] = [
  [
    'eight megabytes of brackets',
    '/v1/processes',
    `{"definition":${'['.repeat(8_000_000)}`,
    'invalid_request',
  ],
  [
    'four million values',
    '/v1/tasks',
    `{"handler":"x","input":[${'0,'.repeat(3_900_000)}0]}`,
    'invalid_request',
  ],
  ['300,000 keys', '/v1/tasks', `{${repeat(300_000, (at) => `"k${at}":1,`)}"a":1}`, 'invalid_request'],
  ['190,000 keys', '/v1/tasks', `{${repeat(190_000, (at) => `"k${at}":1,`)}"a":1}`, 'invalid_request'],
  ['nine megabytes', '/v1/tasks', `{"handler":"${'x'.repeat(9_000_000)}"}`, 'body_too_large'],
  [
    'an event of two megabytes',
    '/v1/events',
    `{"name":"big","payload":"${'x'.repeat(2_000_000)}"}`,
    'invalid_request',
  ],
  [
    'an input with __proto__',
    '/v1/processes',
    '{"source":"tasks: [{name: A}]","input":{"__proto__":1}}',
    'invalid_request',
  ],
];

interface Run {
  source: string;
  input?: Json;
  /** What it comes to: the state of the process, and the code of its error. */
  comes: string;
  /** While it runs. */
  meanwhile?: (scene: Scene, id: string) => Promise<void>;
}

interface Scene {
  server: Server;
  sql: TestDatabase['sql'];
  post: (path: string, body: Json | string, type?: string) => Promise<{ status: number; body: Answer }>;
}

interface Answer {
  id: string;
  code?: string;
  state?: string;
  problems?: { code: string; line: number; column: number }[];
  error?: { code: string } | null;
  last_error?: { code: string } | null;
}

const runs: Record<string, Run> = {
  'six maps in a condition': {
    source: `tasks: [{ name: A, if: "${maps} == []" }]`,
    comes: 'failed expression_failed',
  },
  'six maps in each': { source: `tasks: [{ name: A, each: "${maps}" }]`, comes: 'failed expression_failed' },
  'six maps in the output': {
    source: `tasks: [{ name: A, sleep: 0s }]\noutput: "\${{ ${maps} }}"`,
    comes: 'failed expression_failed',
  },
  'six maps for a worker': {
    source: `tasks: [{ name: A, command: "true", env: { A: "\${{ ${maps} }}" } }]`,
    comes: 'failed expression_failed',
  },
  'six maps in a hundred conditions': {
    source: `fail_fast: false\n${tasks(100, (at) => `, if: "${maps} == [${at}]"`)}`,
    comes: 'failed expression_failed',
  },
  'conditions of 4,000 letters in 5,000 tasks': {
    source: `defaults: { queue: nobody }\n${tasks(5_000, (at) => `, run: x, if: "false${' '.repeat(at < 400 ? 3_990 : 10)}"`)}`,
    comes: 'completed',
  },
  'names with quotes, emoji, brackets': {
    source: JSON.stringify({
      tasks: [
        { name: `it's "A" 👩‍👩‍👧 [0`, each: [1, 2], sleep: '0s' },
        { name: `'; drop table tasks --`, needs: [`it's "A" 👩‍👩‍👧 [0`], if: 'true', sleep: '0s' },
      ],
    }),
    comes: 'completed',
  },
  '__proto__ in an expression': {
    source: `tasks: [{ name: A, if: "has(input.__proto__.polluted) || true", sleep: 0s }]`,
    comes: 'completed',
  },
  'a list of 10,000': { source: 'tasks: [{ name: A, each: range(10000), sleep: 0s }]', comes: 'completed' },
  'a list of 10,001': {
    source: 'tasks: [{ name: A, each: range(10001), sleep: 0s }]',
    comes: 'failed too_many_items',
  },
  'a list of four megabytes': {
    source: 'input: { x: {} }\ntasks: [{ name: A, each: "input.x.map(a, [a, a, a, a])", sleep: 0s }]',
    input: texts(1_000, 900),
    comes: 'completed',
  },
  'a matrix of 10,000': {
    source: `tasks: [{ name: A, sleep: 0s, matrix: { ${repeat(4, (at) => `m${at}: "\${{ range(10) }}",`)} } }]`,
    comes: 'completed',
  },
  'a matrix of 50^20': {
    source: `tasks: [{ name: A, sleep: 0s, matrix: { ${repeat(20, (at) => `m${at}: "\${{ range(50) }}",`)} } }]`,
    comes: 'failed too_many_items',
  },
  'a chain of 1,000 skips': {
    source: tasks(1_000, (at) => (at === 0 ? ', if: "false"' : `, needs: [t${at - 1}]`)),
    comes: 'completed',
  },
  '100,000 edges': {
    source: tasks(
      1_000,
      (at) => `, sleep: 0s, needs: [${repeat(Math.min(at, 100), (back) => `t${at - 1 - back},`)}]`,
    ),
    comes: 'completed',
  },
  '10,000 tasks that sleep until the same moment': {
    source: tasks(10_000, () => ', sleep: 15s'),
    comes: 'completed',
  },
  'a process that starts itself': {
    source: 'tasks: [{ name: A, process: itself }]',
    comes: 'failed process_failed',
  },
  'a process that starts itself twice': {
    source: 'tasks: [{ name: A, process: twice }]',
    comes: 'failed process_failed',
  },
  '5,000 tasks that wait for 10,000 events of one key': {
    source: tasks(5_000, () => ', wait_for: { event: many, key: one }'),
    comes: 'completed',
    async meanwhile({ post }) {
      for (let sent = 0; sent < 10_000; sent += 100)
        await Promise.all(
          Array.from({ length: 100 }, () => post('/v1/events', { name: 'many', key: 'one', payload: sent })),
        );
    },
  },
  'events of a megabyte': {
    source: tasks(20, () => ', wait_for: { event: big, key: one }'),
    comes: 'completed',
    async meanwhile({ post }) {
      for (let sent = 0; sent < 20; sent += 1)
        await post('/v1/events', { name: 'big', key: 'one', payload: 'x'.repeat(1024 * 1024 - 2) });
    },
  },
  '10,000 tasks that are failed, retried, paused, read and cancelled': {
    source: tasks(10_000, () => ''),
    comes: 'cancelled',
    async meanwhile({ server, post }, id) {
      const move = (name: string) => post(`/v1/processes/${id}/${name}`, '');
      await post(`/v1/processes/${id}/tasks/t1/fail`, { error: 'it failed' });
      const retries = await Promise.all(Array.from({ length: 20 }, () => move('retry')));
      expect(retries.map(({ status }) => status).sort()).toEqual([200, ...Array(19).fill(409)]);
      expect((await move('pause')).status).toBe(200);
      expect((await move('resume')).status).toBe(200);
      for (const what of ['', '/tasks?limit=100', '/events'])
        expect((await fetch(`${server.url}/v1/processes/${id}${what}`)).status).toBe(200);
      await move('cancel');
    },
  },
};

interface Probed {
  slowest: { ms: number; what: string };
  answers: number;
  wrong: string;
  /** The longest that the machine did not let the prober run. */
  stalledMs: number;
}

function startProber(url: string) {
  const child = spawn(process.execPath, [path.resolve(import.meta.dirname, 'fixtures/prober.mjs')], {
    env: { URL: url },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  return async (): Promise<Probed> => {
    child.stdin.write('\n');
    return JSON.parse((await lines.next()).value);
  };
}

test('whatever is sent to a server, it answers everybody else', async ({ database }) => {
  const { sql, url: DATABASE_URL } = database;
  const server = await startServer(DATABASE_URL);
  await startWorker(['--concurrency', '2'], { DATABASE_URL });
  const scene: Scene = {
    server,
    sql,
    async post(where, body, type = 'application/json') {
      const answer = await fetch(server.url + where, {
        method: 'POST',
        headers: { 'content-type': type },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      });
      return { status: answer.status, body: (await answer.json()) as Answer };
    },
  };
  const yaml = 'application/yaml';
  for (const name of ['itself', 'twice']) {
    const items = name === 'twice' ? ' each: [1, 2], max_failures: 0,' : '';
    const made = await fetch(`${server.url}/v1/definitions/${name}`, {
      method: 'PUT',
      headers: { 'content-type': yaml },
      body: `tasks: [{ name: A,${items} process: ${name} }]`,
    });
    expect(made.status).toBe(201);
  }

  const ask = startProber(server.url);
  // What it takes where nothing else is done.
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  const quiet = await ask();
  const bound = patienceMs + quiet.slowest.ms;
  const late: string[] = [];
  const all: { ms: number; what: string }[] = [];
  const note = async (what: string) => {
    const { slowest, wrong, stalledMs } = await ask();
    expect(wrong, what).toBe('');
    all.push({ ms: slowest.ms, what: `${slowest.what} beside ${what}` });
    if (slowest.ms > bound + stalledMs)
      late.push(
        `${what}: ${slowest.what} took ${slowest.ms} ms, and the prober stood still for ${stalledMs}`,
      );
  };

  for (const [what, source, problem] of refused) {
    const { status, body } = await scene.post('/v1/processes', source, yaml);
    const [first] = body.problems ?? [];
    expect
      .soft([status, body.code, `${first?.line}:${first?.column} ${first?.code}`], what)
      .toEqual([422, 'invalid_definition', problem]);
    await note(what);
  }
  for (const [what, where, sent, code] of bodies) {
    const { status, body } = await scene.post(where, sent);
    expect.soft([Math.floor(status / 100), body.code], what).toEqual([4, code]);
    await note(what);
  }
  for (const [what, { source, input, comes, meanwhile }] of Object.entries(runs)) {
    const body = { source, ...(input === undefined ? {} : { input: { x: input } }) };
    const { status, body: started } = await scene.post('/v1/processes', body);
    expect(status, `${what}: ${JSON.stringify(started).slice(0, 1_000)}`).toBe(201);
    await meanwhile?.(scene, started.id);
    let came = '';
    await until(
      `${what} comes to its end`,
      async () => {
        const read = (await (await fetch(`${server.url}/v1/processes/${started.id}`)).json()) as Answer;
        const { code } = read.error ?? read.last_error ?? {};
        came = `${read.state}${read.state === 'failed' ? ` ${code}` : ''}`;
        return ['completed', 'failed', 'cancelled'].includes(read.state ?? '');
      },
      240_000,
    );
    expect.soft(came, what).toBe(comes);
    await note(what);
  }
  const [{ unended } = { unended: 0 }] = await sql<{ unended: number }>(
    'select count(*)::integer as unended from skipjack.processes where finished_at is null',
  );
  expect(unended).toBe(0);
  const [worst, ...next] = all.toSorted((one, other) => other.ms - one.ms);
  console.log(
    `slowest answers, in ms: ${quiet.slowest.ms} beside nothing; ${worst?.ms}, ${worst?.what}; ${next[0]?.ms}, ${next[0]?.what}`,
  );
  expect(late).toEqual([]);
}, 900_000);
