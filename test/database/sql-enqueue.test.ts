/** Enqueueing from SQL, inside the caller's own transaction; and that it agrees with the way over TypeScript. */
import { describe, expect } from 'vitest';
import { parseTaskInput } from '../../src/core/task-input.ts';
import { test } from '../support/database.ts';
import { claim } from '../support/tasks.ts';

const image = 'alpine:3.20';
const path = (length: number) => `/${'p'.repeat(length - 1)}`;
const numbered = <Item>(count: number, make: (index: number) => Item) =>
  Array.from({ length: count }, (_, index) => make(index));
/** Each of these as a task's own, as what comes before and after, and as what runs beside it. */
const inEachPart = (part: object) => [
  part,
  { image, pre: [part] },
  { image, post: [{ image }, part] },
  { image, sidecars: [{ name: 'db', ...part }] },
];

const acceptedContainers: object[] = [
  ...[
    { image },
    { image: 'registry.example.com:5000/team/app@sha256:0123456789abcdef' },
    { image: 'i'.repeat(500) },
    { image, cmd: [] },
    { image, cmd: ['echo', '-n', '', 'hello ${{ secrets.WHO }}'], entrypoint: ['/bin/sh', '-c'] },
    { image, cmd: numbered(1_000, String) },
    { image, run: 'cat $SKIPJACK_INPUT', env: { A: '${{ secrets.A }}', _b2: '' } },
    { image, env: Object.fromEntries(numbered(200, (each) => [`A${each}`, 'x'])) },
    { image, files: {} },
    { image, files: { 'a.txt': 'a', 'deep/er/b': '', '/etc/app.conf': 'c: $A', '..c': 'd', 'e..': 'f' } },
    { image, files: { a: 'x'.repeat(1_048_576) } },
    { image, workdir: '/srv/app/' },
    { image, workdir: path(4_096) },
    { image, user: 'nobody' },
    { image, user: '1000:1000' },
    { image, user: 'a.b-c:d_e' },
  ].flatMap(inEachPart),
  { type: 'container', image },
  { image, name: 'named', queue: 'gpu', timeout: '1h', retry: { attempts: 2 }, labels: { a: 'b' } },
  { image, stdin: 'in ${{ x }}', input: { a: 1 } },
  { image, volumes: [] },
  { image, volumes: ['/tmp', '/data/in', '/..x', '/a/..b/c'] },
  { image, volumes: numbered(20, (each) => `/v${each}`) },
  { image, mounts: [] },
  {
    image,
    mounts: [
      { type: 'bind', source: '/srv/in', target: '/in', read_only: true },
      { type: 'bind', source: '/srv', target: '/out' },
      { type: 'tmpfs', target: '/scratch' },
      { type: 'tmpfs', target: '/scratch2', size: '64m' },
    ],
  },
  { image, networks: [] },
  { image, networks: ['none', 'back-end_1.x', 'hosts'] },
  { image, limits: {} },
  { image, limits: { cpus: 0.01, memory: '6m', pids: 1 } },
  { image, limits: { cpus: 1_024, memory: '1.5 GiB', pids: 1_000_000 } },
  ...['6291456', '6291456b', '6144k', '6144kB', '0.006g', '8191t', '7\u00a0M', '6.000mib'].map((memory) => ({
    image,
    limits: { memory },
  })),
  ...[1, 99, '1', 'all', 'device=0,1', 'device=GPU-3faa_1'].map((gpus) => ({ image, gpus })),
  { image, registry: { username: 'robot', password: '${{ secrets.REGISTRY }}' } },
  ...['missing', 'always', 'never'].map((pull) => ({ image, pull })),
  { image, pre: [], post: [], sidecars: [] },
  {
    image,
    cmd: ['convert', '/data/in'],
    volumes: ['/data'],
    pre: [
      { name: 'download ü', image, run: 'wget -O /data/in $URL', env: { URL: '${{ secrets.URL }}' } },
      { image, cmd: ['true'], timeout: '1m' },
    ],
    post: [{ image, timeout: '0.001s' }],
    sidecars: [
      { name: 'db', image: 'postgres:18', env: { P: 'x' }, probe: { cmd: ['pg_isready'] } },
      {
        name: 'web-2',
        image,
        probe: { port: 80, path: '/healthz?a=~', interval: '500ms', timeout: '1m' },
      },
      { name: 'a'.repeat(63), image, probe: { port: 65_535 } },
    ],
  },
  {
    image,
    pre: numbered(20, () => ({ image })),
    sidecars: numbered(10, (each) => ({ name: `s${each}`, image })),
  },
];

const refusedContainers: object[] = [
  ...[
    { image: '' },
    { image: 7 },
    { image: null },
    { image: '-x' },
    { image: 'a b' },
    { image: 'é' },
    { image: 'a\n' },
    { image: '${{ secrets.IMAGE }}' },
    { image: 'i'.repeat(501) },
    { image, cmd: 'echo' },
    { image, cmd: [1] },
    { image, cmd: [null] },
    { image, cmd: numbered(1_001, String) },
    { image, cmd: ['x'.repeat(131_073)] },
    { image, cmd: ['${{ input.a }}'] },
    { image, entrypoint: [] },
    { image, entrypoint: '/bin/sh' },
    { image, entrypoint: ['${{ secrets.A }', '}'] },
    { image, run: '' },
    { image, run: 7 },
    { image, run: 'x'.repeat(262_145) },
    { image, run: 'echo ${{ secrets.A }}' },
    { image, run: 'x', cmd: ['y'] },
    { image, run: 'x', entrypoint: ['y'] },
    { image, env: [] },
    { image, env: { A: 1 } },
    { image, env: { 'A=B': '' } },
    { image, env: { ä: '' } },
    { image, env: { A: 'x'.repeat(32_769) } },
    { image, env: { A: '${{ process.id }}' } },
    { image, env: Object.fromEntries(numbered(201, (each) => [`A${each}`, 'x'])) },
    { image, files: [] },
    { image, files: { a: 1 } },
    { image, files: { a: null } },
    { image, files: { '': 'x' } },
    { image, files: { '../a': 'x' } },
    { image, files: { 'a/../b': 'x' } },
    { image, files: { './a': 'x' } },
    { image, files: { '.': 'x' } },
    { image, files: { 'a/': 'x' } },
    { image, files: { 'a/..': 'x' } },
    { image, files: { '${{ secrets.A }}': 'x' } },
    { image, files: { ['n'.repeat(501)]: 'x' } },
    { image, files: { a: 'x'.repeat(1_048_577) } },
    { image, files: { a: 'x'.repeat(1_048_576), b: 'y' } },
    { image, files: { a: '${{ secrets.A }}' } },
    { image, files: Object.fromEntries(numbered(101, (each) => [`f${each}`, ''])) },
    { image, workdir: '' },
    { image, workdir: 'srv' },
    { image, workdir: '/' },
    { image, workdir: '//' },
    { image, workdir: '/a/..' },
    { image, workdir: '/a:b' },
    { image, workdir: '/a,b' },
    { image, workdir: '/${{ secrets.A }}' },
    { image, workdir: path(4_097) },
    { image, workdir: 7 },
    { image, user: '' },
    { image, user: ':' },
    { image, user: 'a:b:c' },
    { image, user: '-a' },
    { image, user: 'ä' },
    { image, user: 'u'.repeat(101) },
    { image, user: 1000 },
    { image, privileged: true },
    { image, devices: ['/dev/sda'] },
    { image, cap_add: ['ALL'] },
    { cmd: ['echo'] },
  ].flatMap(inEachPart),
  ...[
    { cmd: [] },
    { entrypoint: ['x'] },
    { files: {} },
    { workdir: '/x' },
    { user: 'nobody' },
    { volumes: [] },
    { mounts: [] },
    { networks: [] },
    { limits: {} },
    { gpus: 1 },
    { registry: { username: 'u', password: 'p' } },
    { pull: 'never' },
    { pre: [] },
    { post: [] },
    { sidecars: [] },
  ].flatMap((key) => [
    { command: 'x', ...key },
    { run: 'x', ...key },
    { handler: 'x', ...key },
    { name: 'x', ...key },
  ]),
  { image, command: 'x' },
  { image, handler: 'x' },
  { image, args: ['x'] },
  { image, type: 'run', run: 'x' },
  { type: 'container' },
  { type: 'container', command: 'x' },
  { type: 'image', image },
  { image, stdin: 7 },
  { image, stdin: 'x'.repeat(1_048_577) },
  { image, timeout: '0s' },
  { image, volumes: '/tmp' },
  { image, volumes: ['tmp'] },
  { image, volumes: [7] },
  { image, volumes: ['/tmp', '/tmp'] },
  { image, volumes: ['/tmp:/host'] },
  { image, volumes: ['/'] },
  { image, volumes: numbered(21, (each) => `/v${each}`) },
  { image, mounts: {} },
  { image, mounts: [7] },
  { image, mounts: ['/a:/b'] },
  { image, mounts: [{}] },
  { image, mounts: [{ type: 'volume', source: '/a', target: '/b' }] },
  { image, mounts: [{ type: 7, source: '/a', target: '/b' }] },
  { image, mounts: [{ source: '/a', target: '/b' }] },
  { image, mounts: [{ type: 'bind', target: '/b' }] },
  { image, mounts: [{ type: 'bind', source: '/a' }] },
  { image, mounts: [{ type: 'bind', source: 'a', target: '/b' }] },
  { image, mounts: [{ type: 'bind', source: '/', target: '/b' }] },
  { image, mounts: [{ type: 'bind', source: '/a/../b', target: '/b' }] },
  { image, mounts: [{ type: 'bind', source: '/a', target: '/b:rw' }] },
  { image, mounts: [{ type: 'bind', source: '/a', target: '/b,bind-propagation=shared' }] },
  { image, mounts: [{ type: 'bind', source: '/a', target: '/b', size: '1m' }] },
  { image, mounts: [{ type: 'bind', source: '/a', target: '/b', read_only: 'yes' }] },
  { image, mounts: [{ type: 'bind', source: '/a', target: '/b', propagation: 'shared' }] },
  { image, mounts: [{ type: 'tmpfs' }] },
  { image, mounts: [{ type: 'tmpfs', target: '/a', source: '/b' }] },
  { image, mounts: [{ type: 'tmpfs', target: '/a', size: 'big' }] },
  { image, mounts: [{ type: 'tmpfs', target: '/a', size: 64 }] },
  { image, mounts: numbered(21, (each) => ({ type: 'tmpfs', target: `/m${each}` })) },
  { image, networks: 'none' },
  { image, networks: ['host'] },
  { image, networks: ['container:abc'] },
  { image, networks: [''] },
  { image, networks: [7] },
  { image, networks: ['-n'] },
  { image, networks: ['n'.repeat(101)] },
  { image, networks: numbered(11, (each) => `n${each}`) },
  { image, limits: [] },
  { image, limits: { cpus: 0 } },
  { image, limits: { cpus: -1 } },
  { image, limits: { cpus: 1_025 } },
  { image, limits: { cpus: '1' } },
  ...[
    '',
    'lots',
    '5m',
    '6291455',
    '6mm',
    '-6m',
    '6  m',
    '1e9',
    '6.0001g',
    '8192t',
    '9999999999999999',
    '６m',
  ].map((memory) => ({ image, limits: { memory } })),
  { image, limits: { memory: 536_870_912 } },
  { image, limits: { pids: 0 } },
  { image, limits: { pids: 1.5 } },
  { image, limits: { pids: 1_000_001 } },
  { image, limits: { disk: '1g' } },
  ...[0, 100, 1.5, true, '', '0', '1.0', 'none', 'device=', 'device=a b', 'all,', ['all']].map((gpus) => ({
    image,
    gpus,
  })),
  { image, registry: 'u:p' },
  { image, registry: {} },
  { image, registry: { username: 'u' } },
  { image, registry: { password: 'p' } },
  { image, registry: { username: '', password: 'p' } },
  { image, registry: { username: 'u', password: '' } },
  { image, registry: { username: 'u', password: null } },
  { image, registry: { username: 'u', password: 'p', server: 's' } },
  { image, registry: { username: 'u', password: '${{ env.P }}' } },
  { image, registry: { username: 'u'.repeat(1_001), password: 'p' } },
  { image, pull: 'sometimes' },
  { image, pull: true },
  { image, pre: { image } },
  { image, pre: [image] },
  { image, pre: [{}] },
  { image, pre: [{ image, name: '' }] },
  { image, pre: [{ image, name: 'n'.repeat(101) }] },
  { image, pre: [{ image, name: '${{ secrets.A }}' }] },
  { image, pre: [{ image, timeout: '0s' }] },
  { image, pre: [{ image, timeout: 'soon' }] },
  { image, pre: [{ image, timeout: 5 }] },
  { image, pre: [{ image, probe: { port: 80 } }] },
  { image, pre: [{ image, pre: [{ image }] }] },
  { image, pre: [{ image, volumes: ['/tmp'] }] },
  { image, pre: [{ image, limits: { pids: 1 } }] },
  { image, pre: [{ image, command: 'x' }] },
  { image, pre: numbered(21, () => ({ image })) },
  { image, post: [null] },
  { image, post: numbered(21, () => ({ image })) },
  { image, sidecars: {} },
  { image, sidecars: [{ image }] },
  { image, sidecars: [{ name: 'db' }] },
  ...['', 'Db', 'a_b', '-a', 'a-', 'ä', 'a\n', 'a'.repeat(64), 7, null].map((name) => ({
    image,
    sidecars: [{ name, image }],
  })),
  { image, sidecars: [{ name: 'db', image, timeout: '1m' }] },
  {
    image,
    sidecars: [
      { name: 'db', image },
      { name: 'db', image: 'other' },
    ],
  },
  { image, sidecars: numbered(11, (each) => ({ name: `s${each}`, image })) },
  ...[
    'true',
    {},
    { cmd: ['true'], port: 80 },
    { cmd: [] },
    { cmd: 'true' },
    { cmd: [''] },
    { cmd: [7] },
    { cmd: ['${{ secrets.A }}'] },
    { cmd: numbered(101, String) },
    { cmd: ['true'], path: '/' },
    { port: 0 },
    { port: 65_536 },
    { port: 80.5 },
    { port: '80' },
    { port: 80, path: 'healthz' },
    { port: 80, path: '' },
    { port: 80, path: '/a b' },
    { port: 80, path: '/ä' },
    { port: 80, path: '/${{secrets.A}}' },
    { port: 80, path: path(1_001) },
    { port: 80, interval: '0s' },
    { port: 80, timeout: '0ms' },
    { port: 80, timeout: 'soon' },
    { port: 80, retries: 3 },
  ].map((probe) => ({ image, sidecars: [{ name: 'db', image, probe }] })),
];

/** Bodies that both ways must take, and store alike. */
const accepted: object[] = [
  { type: 'command', command: 'echo', args: ['hello', 'world'] },
  { command: 'true' },
  { command: 'env', env: { A: '1' }, name: 'named', labels: { team: 'blue' } },
  { run: 'echo $A', env: { A: 'x' }, timeout: '90s' },
  { handler: 'send-email', input: { to: ['a', 'b'], deep: { n: null } } },
  { name: 'review', queue: 'people', input: 7 },
  { name: 'review' },
  { command: 'x', queue: 'q', priority: 0, delay: '2h' },
  { command: 'x', run_at: '2031-01-02T03:04:05Z' },
  { command: 'x', retry: {} },
  {
    command: 'x',
    retry: { attempts: 5, backoff: 'linear', delay: '500ms', max_delay: '1.5m', jitter: false },
  },
  { command: 'x', retry: { on: { exit_codes: [75] } } },
  { command: 'x', retry: { on: { codes: ['timed_out'] }, within: '10m' } },
  {
    command: 'x',
    retry: { attempts: 5, on: { exit_codes: [255, 0, 75, 75], codes: ['b', 'a', '  ', '"ü"'] } },
  },
  { command: 'x', retry: { within: '1ms' } },
  { command: 'x', retry: { within: '366d' } },
  { command: 'x', retry: { on: { exit_codes: numbered(100, Number), codes: numbered(100, String) } } },
  { command: 'x', retry: { on: { codes: ['c'.repeat(100)] } } },
  { command: 'x', labels: {} },
  { command: 'cat', stdin: '' },
  { run: 'cat', stdin: 'any ${{ text }} there is' },
  {
    command: 'x',
    args: ['--token=${{ secrets.API_TOKEN }}'],
    env: { A: 'a ${{secrets._b1}}${{  secrets.C }} $ {{' },
  },
  { command: 'x', args: ['\u00a0${{\u00a0secrets.A\u2003}}'] },
  ...acceptedContainers,
];

/** Bodies that both ways must refuse. */
const refused: unknown[] = [
  { command: 'x${{ secrets.A }}' },
  null,
  7,
  [],
  {},
  { command: '' },
  { command: 7 },
  { command: 'x', run: 'y' },
  { type: 'command' },
  { type: 'run', command: 'x' },
  { command: 'x', args: 'y' },
  { command: 'x', args: [1] },
  { run: 'x', args: ['y'] },
  { handler: 'x', env: { A: '1' } },
  { command: 'x', env: { A: 1 } },
  { command: 'x', priority: 10 },
  { command: 'x', priority: -1 },
  { command: 'x', queue: '$engine' },
  { command: 'x', queue: '' },
  { command: 'x', name: '' },
  { command: 'x', name: 'n'.repeat(201) },
  { command: 'x', delay: 'soon' },
  { command: 'x', delay: '1s', run_at: '2031-01-02T03:04:05Z' },
  { command: 'x', timeout: '0s' },
  { command: 'x', timeout: '9999d' },
  { command: 'x', retry: { attempts: 0 } },
  { command: 'x', retry: { attempts: 2000 } },
  { command: 'x', retry: { tries: 3 } },
  { command: 'x', retry: { backoff: 'sometimes' } },
  { command: 'x', retry: 3 },
  ...[
    {},
    [],
    null,
    'timed_out',
    75,
    { exit_codes: [] },
    { codes: [] },
    { exit_codes: [], codes: ['x'] },
    { exit_codes: [75], codes: [] },
    { exit_codes: null },
    { exit_codes: 75 },
    { exit_codes: '75' },
    { exit_codes: ['75'] },
    { exit_codes: [null] },
    { exit_codes: [[75]] },
    { exit_codes: [true] },
    { exit_codes: [-1] },
    { exit_codes: [256] },
    { exit_codes: [1e300] },
    { exit_codes: [7.5] },
    { exit_codes: numbered(101, () => 1) },
    { codes: 'timed_out' },
    { codes: [7] },
    { codes: [null] },
    { codes: [['x']] },
    { codes: [''] },
    { codes: ['c'.repeat(101)] },
    { codes: { timed_out: true } },
    { codes: numbered(101, String) },
    { codes: ['x'], signals: ['SIGKILL'] },
  ].map((on) => ({ command: 'x', retry: { attempts: 2, on } })),
  ...['0s', '0.0004s', '367d', '31622400.001s', 'soon', '', 5, null, ['1m']].map((within) => ({
    command: 'x',
    retry: { within },
  })),
  { command: 'x', labels: { a: 1 } },
  { command: 'x', labels: ['a'] },
  { command: 'x', unknown: 1 },
  { command: 'x', timeout: null },
  { command: 'x', env: { '': 'x' } },
  { command: 'x', env: { 'A=B': 'x' } },
  { command: 'x', priority: '5' },
  { command: 'x', priority: 1.5 },
  { command: 'x', name: 7 },
  { command: 'x', queue: 7 },
  { command: 'x', retry: { jitter: 'yes' } },
  { command: 'x', retry: { attempts: '3' } },
  { command: 'x', delay: 5 },
  { command: 'x', run_at: 'tomorrow' },
  { command: 'x', run_at: '2031-01-02' },
  { command: 'x', idempotency_key: 7 },
  { command: 'x', labels: { '': 'x' } },
  { command: 'x', idempotency_key: '' },
  { command: 'x', args: ['${{ input.a }}'] },
  { command: 'x', args: ['${{ secrets.A }} ${{ secrets.B }'] },
  { command: 'x', args: ['${{ secrets.A-B }}'] },
  { command: 'x', args: ['$${{ secrets.A }}{{'] },
  { command: 'x', args: Array.from({ length: 1_001 }, () => '') },
  { command: 'x'.repeat(4_097) },
  { command: '${{ secrets.A }}', env: { A: '${{ secrets }}' } },
  { command: 'x', labels: Object.fromEntries(Array.from({ length: 33 }, (_, each) => [`l${each}`, ''])) },
  { run: 'echo ${{ input.a }}' },
  { run: 'echo ${{ secrets.A }}' },
  { run: 'cat', stdin: 7 },
  { handler: 'x', stdin: 'y' },
  { handler: 'h'.repeat(201) },
  { name: 'review', stdin: 'y' },
  ...refusedContainers,
];

/** When it is due: as that was said, or so many minutes after it was made. */
const rowOf = `select task.name, task.queue, task.priority, task.spec, task.input, task.labels, task.retry, task.timeout_ms,
    case when $2 then item.available_at::text
      else round(extract(epoch from item.available_at - task.created_at) / 60)::text end as due
  from skipjack.tasks as task join skipjack.queue_items as item on item.task_id = task.id where task.id = $1`;

describe('skipjack.enqueue', () => {
  test('stores what POST /v1/tasks would store', async ({ database }) => {
    for (const body of accepted) {
      const over = await database.queue.enqueue(parseTaskInput(body));
      const [made] = await database.sql<{ id: string }>('select skipjack.enqueue($1) as id', [
        JSON.stringify(body),
      ]);
      const hasTime = 'run_at' in body;
      const [fromTypeScript] = await database.sql(rowOf, ['id' in over ? over.id : null, hasTime]);
      const [fromSql] = await database.sql(rowOf, [made?.id, hasTime]);
      expect(fromSql, JSON.stringify(body)).toEqual(fromTypeScript);
      expect(fromSql).toBeDefined();
    }
  });

  test('refuses what POST /v1/tasks refuses', async ({ database }) => {
    const taken: string[] = [];
    for (const body of refused) {
      const text = JSON.stringify(body);
      const refusesIt = () => parseTaskInput(body);
      await Promise.resolve()
        .then(refusesIt)
        .then(
          () => taken.push(`TypeScript: ${text.slice(0, 300)}`),
          () => {},
        );
      await database.sql('select skipjack.enqueue($1)', [text]).then(
        () => taken.push(`SQL: ${text.slice(0, 300)}`),
        // What Postgres says when a check of ours fell over, and not the task.
        (error) => expect(error.code, `${error.message}: ${text.slice(0, 300)}`).toMatch(/^(22023|0A000)$/),
      );
    }
    expect(taken).toEqual([]);
    expect(await claim(database, { limit: 100 })).toEqual([]);
  });

  test('refuses in a sentence of its own, never with the row and its values', async ({ database }) => {
    const env = { PASSWORD: 'hunter2' };
    for (const bad of [
      { priority: 12 },
      { name: '' },
      { queue: '$q' },
      { timeout: '0s' },
      { idempotency_key: '' },
      { limits: { memory: 'hunter2' } },
      { pre: [{ image: 'x', env: { ...env, other: 7 } }] },
    ]) {
      const program = 'limits' in bad || 'pre' in bad ? { image: 'x' } : { command: 'x' };
      const refusal = database.sql('select skipjack.enqueue($1)', [
        JSON.stringify({ ...program, env, ...bad }),
      ]);
      const error = await refusal.catch((each) => each);
      expect(error).toMatchObject({
        code: '22023',
        message: expect.stringContaining(Object.keys(bad)[0] ?? ''),
      });
      expect(JSON.stringify(error)).not.toContain('hunter2');
    }
  });

  test('says of expressions that a task on its own has none, and of nothing else', async ({ database }) => {
    const codeOf = async (body: object) => {
      const refusal = database.sql('select skipjack.enqueue($1)', [JSON.stringify(body)]);
      return refusal.catch((error) => {
        if (error.code === '0A000') expect(error.hint).toContain('no process');
        return error.code;
      });
    };
    const template = '${{ input.a }}';
    for (const body of [
      { command: 'x', args: [template] },
      { command: 'x', env: { A: template } },
      { image, cmd: [template] },
      { image, entrypoint: [template] },
      { image, pre: [{ image, env: { A: template } }] },
      { image, registry: { username: 'u', password: template } },
    ]) {
      expect(await codeOf(body), JSON.stringify(body)).toBe('0A000');
      expect(() => parseTaskInput(body)).toThrow(expect.objectContaining({ code: 'misplaced_expression' }));
    }
    for (const body of [{ run: template }, { image, run: template }, { image, files: { a: template } }]) {
      expect(await codeOf(body), JSON.stringify(body)).toBe('22023');
      expect(() => parseTaskInput(body)).toThrow(expect.objectContaining({ code: 'invalid_request' }));
    }
  });

  test('leaves nothing when the transaction rolls back, and wakes a waiting claim when it commits', async ({
    database,
  }) => {
    const client = await database.connect();
    await client.query('begin');
    await client.query(`select skipjack.enqueue('{"command": "true"}')`);
    await client.query('rollback');
    expect(await database.sql('select from skipjack.tasks')).toEqual([]);

    const waiting = claim(database, { waitMs: 60_000 });
    await client.query(`select skipjack.enqueue('{"command": "true"}')`);
    expect(await waiting).toHaveLength(1);
  });

  test('answers the same task for the same key and request, and refuses another request', async ({
    database,
  }) => {
    const call = (body: object) =>
      database.sql<{ id: string }>('select skipjack.enqueue($1) as id', [JSON.stringify(body)]);
    const body = { command: 'true', idempotency_key: 'k', delay: '1h' };
    const [first] = await call(body);
    expect(await call(body)).toEqual([first]);
    expect(await database.queue.enqueue(parseTaskInput(body))).toEqual({ kind: 'existing', id: first?.id });
    await expect(call({ ...body, command: 'false' })).rejects.toThrow('idempotency_conflict');
    expect(await database.queue.enqueue(parseTaskInput({ ...body, command: 'false' }))).toEqual({
      kind: 'key_conflict',
      id: first?.id,
    });
  });

  test('knows a request again that came over TypeScript, and the other way round, whatever it says', async ({
    database,
  }) => {
    const times = ['2031-01-02T03:04:05Z', '2031-01-02T05:04:05.5+02:00', '2031-01-02T03:04:05.123456Z'];
    const bodies = [...accepted, ...times.map((run_at) => ({ command: 'x', run_at }))];
    await database.sql(`set time zone 'Asia/Kolkata'`);
    for (const [index, body] of bodies.entries()) {
      const overTypeScript = async (key: string) =>
        database.queue.enqueue(parseTaskInput({ ...body, idempotency_key: key }));
      const bySql = async (key: string) => {
        const text = JSON.stringify({ ...body, idempotency_key: key });
        const [row] = await database.sql<{ id: string }>('select skipjack.enqueue($1) as id', [text]);
        return row?.id;
      };
      const first = await overTypeScript(`a ${index}`);
      expect(await bySql(`a ${index}`), JSON.stringify(body)).toBe('id' in first && first.id);
      const id = await bySql(`b ${index}`);
      expect(await overTypeScript(`b ${index}`), JSON.stringify(body)).toEqual({ kind: 'existing', id });
    }
  });

  test('tells two requests apart that differ only in their time', async ({ database }) => {
    const at = (run_at: string) =>
      database.queue.enqueue(parseTaskInput({ command: 'x', run_at, idempotency_key: 'k' }));
    expect((await at('2031-01-02T03:04:05Z')).kind).toBe('created');
    expect((await at('2031-01-02T04:04:05+01:00')).kind).toBe('existing');
    expect((await at('2031-01-02T03:04:05+01:00')).kind).toBe('key_conflict');
  });

  test('takes times of the years 1970 to 9998 and no others, and neither can any way in store one', async ({
    database,
  }) => {
    const enqueueAt = (run_at: string) =>
      database.sql('select skipjack.enqueue($1)', [JSON.stringify({ command: 'x', run_at })]);
    const storeAt = (run_at: string) =>
      database.sql('select from skipjack.enqueue_tasks($1)', [
        JSON.stringify([{ ...parseTaskInput({ command: 'x' }), run_at }]),
      ]);
    for (const run_at of ['1970-01-01T00:00:00Z', '9998-12-31T23:59:59.999Z', '1969-12-31T23:00:00-01:00']) {
      await enqueueAt(run_at);
      await storeAt(run_at);
    }
    for (const run_at of [
      '1969-12-31T23:59:59Z',
      '9999-01-01T00:00:00Z',
      '9999-12-31T23:59:59-12:00',
      '1970-01-01T00:00:00+01:00',
    ]) {
      await expect(enqueueAt(run_at), run_at).rejects.toMatchObject({
        code: '22023',
        message: expect.stringContaining('1970 to 9998'),
      });
      await expect(storeAt(run_at), run_at).rejects.toThrow('a_time_is_between_1970_and_9999');
    }
  });

  test('makes ids that sort in the order in which they were made', async ({ database }) => {
    const rows = await database.sql<{ id: string }>(
      'select skipjack.new_id()::text as id from generate_series(1, 1000)',
    );
    const ids = rows.map((row) => row.id);
    // Neighbours of one microsecond may be in either order.
    const prefix = (id: string) => id.slice(0, 18);
    expect(ids.map(prefix)).toEqual(ids.map(prefix).sort());
    expect(new Set(ids).size).toBe(1000);
    expect(ids.every((id) => /^.{14}7.{4}[89ab]/.test(id.replace(/^(.{8})-(.{4})-/, '$1-$2-')))).toBe(true);
  });
});
