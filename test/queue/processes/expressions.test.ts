/** What a claim hands over of a task with expressions, and what becomes of one whose expression fails. */
import { describe, expect } from 'vitest';
import { newId } from '../../../src/core/ids.ts';
import type { Json } from '../../../src/core/json.ts';
import type { ClaimedTask } from '../../../src/core/task-source.ts';
import { openDatabase } from '../../../src/database/connection.ts';
import { parseDefinition } from '../../../src/definition/parse-definition.ts';
import { ProcessHandle } from '../../../src/engine/process-handle.ts';
import { keepInlineDefinition, publishDefinition } from '../../../src/engine/publish.ts';
import { readAttempts, readDeadLetter } from '../../../src/queue/dead-letters.ts';
import { retryProcess } from '../../../src/queue/processes/retry.ts';
import { openQueue } from '../../../src/queue/queue.ts';
import { readTask } from '../../../src/queue/read-tasks.ts';
import { replayDeadLetter } from '../../../src/queue/replay.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import {
  claimNamed,
  lettersOf,
  run,
  stateOf,
  statesOf,
  taskIdOf,
  tryStart,
} from '../../support/processes.ts';
import { claim, claimNoOf, complete, enqueue } from '../../support/tasks.ts';

/** Starts a process of the definition, YAML or an object, and answers its id. */
async function start(
  database: TestDatabase,
  definition: string | object,
  { input = null, name }: { input?: Json; name?: string } = {},
): Promise<string> {
  const source = typeof definition === 'string' ? definition : JSON.stringify(definition);
  const parsed = parseDefinition(source);
  if (parsed.kind === 'invalid') throw new Error(JSON.stringify(parsed.problems));
  const checked = { source, plan: parsed.plan };
  const definition_id =
    name === undefined
      ? await keepInlineDefinition(database.db, checked)
      : (await publishDefinition(database.db, name, checked)).id;
  const result = await tryStart(database, { definition_id, input });
  if (result.kind !== 'created') throw new Error(JSON.stringify(result));
  return result.id;
}

const envOf = ({ spec }: ClaimedTask) => (spec as { env: unknown }).env;
const argsOf = ({ spec }: ClaimedTask) => (spec as { args: unknown }).args;

/** What a task is given of these expressions, each alone in its text, as JSON. */
async function valuesOf(database: TestDatabase, expressions: string[], input: Json) {
  const task = { name: 'A', input: expressions.map((each) => `\${{ ${each} }}`) };
  const id = await start(database, { tasks: [task] }, { input });
  return (await claimNamed(database, id, 'A')).input;
}

describe('values arrive', () => {
  const input = {
    text: 'Ärger 🎣 "quoted" \n $(rm -rf /)',
    number: 1.5,
    whole: 3,
    yes: true,
    nothing: null,
    list: [1, 'two', null, [3]],
    map: { b: 1, a: { constructor: 'c', 'k y': [] } },
  };

  test('in "input" as what they are', async ({ database }) => {
    const expressions = [
      ...Object.keys(input).map((key) => `input.${key}`),
      'input',
      'input.whole + 1',
      'input.number * 2',
      'input.map.a.constructor',
      'input.list.map(x, type(x))',
      'process.definition',
    ];
    expect(await valuesOf(database, expressions, input)).toEqual([
      ...Object.values(input),
      input,
      4,
      3,
      'c',
      ['number', 'string', 'null', 'array'],
      null,
    ]);
  });

  test('in texts as text: null as nothing, lists and maps as JSON', async ({ database }) => {
    const id = await start(
      database,
      {
        tasks: [
          {
            name: 'A',
            command: 'x',
            args: [
              ...Object.keys(input).map((key) => `\${{ input.${key} }}`),
              'n=${{ input.number }}, ${{ input.list }}',
            ],
            env: { WHO: '${{ process.id }}', PLAIN: 'plain' },
            input: { in: { text: 'a ${{ input.whole }} b ${{ input.nothing }}' }, 'k"y': ['x', 1] },
          },
        ],
      },
      { input },
    );
    const task = await claimNamed(database, id, 'A');
    expect(argsOf(task)).toEqual([
      input.text,
      '1.5',
      '3',
      'true',
      '',
      '[1,"two",null,[3]]',
      '{"a":{"k y":[],"constructor":"c"},"b":1}',
      'n=1.5, [1,"two",null,[3]]',
    ]);
    expect(envOf(task)).toEqual({ WHO: id, PLAIN: 'plain' });
    expect(task.input).toEqual({ in: { text: 'a 3 b ' }, 'k"y': ['x', 1] });
  });

  test('in every part of a container', async ({ database }) => {
    const who = '${{ input.who }}';
    const part = { image: 'y', cmd: [who], env: { W: who } };
    const id = await start(
      database,
      {
        tasks: [
          {
            name: 'A',
            image: 'x',
            entrypoint: ['a', who],
            cmd: [who],
            env: { W: who, S: 'Bearer ${{ secrets.T }} for ${{ input.who }}' },
            registry: { username: who, password: '${{ secrets.P }}' },
            pre: [part],
            post: [part, { image: 'z', run: 'true' }],
            sidecars: [{ ...part, name: 'db' }],
          },
        ],
      },
      { input: { who: 'Ann' } },
    );
    const filled = { image: 'y', cmd: ['Ann'], env: { W: 'Ann' } };
    expect((await claimNamed(database, id, 'A')).spec).toEqual({
      type: 'container',
      image: 'x',
      entrypoint: ['a', 'Ann'],
      cmd: ['Ann'],
      env: { W: 'Ann', S: ['Bearer ', { secret: 'T' }, ' for Ann'] },
      registry: { username: 'Ann', password: [{ secret: 'P' }] },
      pre: [filled],
      post: [filled, { image: 'z', run: 'true' }],
      sidecars: [{ ...filled, name: 'db' }],
    });
  });

  test('from tasks before, however far: output, state, error and attempts', async ({ database }) => {
    const id = await start(
      database,
      `
tasks:
  - { name: First one, queue: default }
  - { name: shaky, queue: default, continue_on_error: true }
  - { name: between, queue: default, needs: [First one, shaky] }
  - name: last
    queue: default
    needs: [between]
    input:
      far: \${{ tasks["First one"].output.list[1] }}
      whole: \${{ tasks.between.output }}
      state: \${{ tasks.shaky.state }}/\${{ tasks.between.state }}
      error: \${{ tasks.shaky.error.code }}
      none: \${{ tasks.between.error }}
      gone: \${{ tasks.shaky.output }}
      attempts: \${{ [tasks.shaky.attempts, tasks.between.attempts] }}
    `,
    );
    await run(database, id, 'First one', { kind: 'completed', output: { list: [1, 'Ü'] } });
    await run(database, id, 'shaky', 'fails');
    await run(database, id, 'between', { kind: 'completed', output: false });
    const task = await claimNamed(database, id, 'last');
    expect(task.input).toEqual({
      far: 'Ü',
      whole: false,
      state: 'failed/completed',
      error: 'exit_code',
      none: null,
      gone: null,
      attempts: [1, 1],
    });
    expect([task.needs, task.large_needs]).toEqual([{ between: false }, {}]);
  });

  test('from an output that is too large to come along', async ({ database }) => {
    const id = await start(
      database,
      `
tasks:
  - { name: A, queue: default }
  - { name: B, queue: default, needs: [A], input: "\${{ tasks.A.output.map(x, size(x)) }}" }
  - { name: C, queue: default, needs: [A], input: "\${{ tasks.A.output }}" }`,
    );
    await run(database, id, 'A', { kind: 'completed', output: ['x'.repeat(1_300_000), 'y'] });
    const task = await claimNamed(database, id, 'B');
    expect([task.input, task.needs]).toEqual([[1_300_000, 1], {}]);
    expect(task.large_needs).toEqual({ A: await taskIdOf(database, id, 'A') });
    await expect(claimNamed(database, id, 'C')).rejects.toThrow('"state":"failed"');
    expect((await readTask(database.db, await taskIdOf(database, id, 'C')))?.error?.message).toMatch(
      'more than 1048576 letters of JSON',
    );
  });

  test('and are never read again, whatever they say', async ({ database }) => {
    const evil = 'x ${{ secrets.TOKEN }} ${{ input.b }} }} {{';
    const id = await start(
      database,
      {
        tasks: [
          {
            name: 'A',
            command: 'x',
            args: ['${{ input.a }}', '${{ secrets.T }}${{ input.a }}', '${{ "${{ secrets.X }}" }}'],
            input: { v: '${{ input.a }}', t: 'a ${{ input.a }}' },
          },
        ],
      },
      { input: { a: evil, b: 'B' } },
    );
    const task = await claimNamed(database, id, 'A');
    expect(argsOf(task)).toEqual([evil, [{ secret: 'T' }, evil], '${{ secrets.X }}']);
    expect(task.input).toEqual({ v: evil, t: `a ${evil}` });
  });

  test('on two connections at once, each task once', async ({ database }) => {
    const db = openDatabase({ url: database.url });
    const other = openQueue(db);
    const tasks = Array.from({ length: 40 }, (_, index) => ({
      name: `t${index}`,
      queue: 'default',
      input: `\${{ input.n + ${index} }}`,
    }));
    await start(database, { tasks }, { input: { n: 100 } });
    const claims = Array.from({ length: 10 }, (_, index) =>
      claim({ queue: index % 2 ? other : database.queue }, { limit: 4, waitMs: 5_000 }),
    );
    const inputs = (await Promise.all(claims)).flat().map((task) => task.input as number);
    expect(inputs.sort((a, b) => a - b)).toEqual(tasks.map((_, index) => 100 + index));
    await other.close();
    await db.close();
  });

  test('again when a lost answer is asked for again', async ({ database }) => {
    await start(
      database,
      { tasks: [{ name: 'A', queue: 'default', input: '${{ input.n }}' }] },
      { input: { n: 7 } },
    );
    const claimId = newId();
    const [first] = await claim(database, { claimId, limit: 5 });
    const [again] = await claim(database, { claimId, limit: 5 });
    expect([first?.input, again?.input, again?.token]).toEqual([7, 7, first?.token]);
  });
});

test('a task shows what is written, not what a claim was given', async ({ database }) => {
  const written = { input: { n: '${{ input.n }}' }, env: { N: '${{ input.n }}' } };
  const id = await start(database, { tasks: [{ name: 'A', run: 'x', ...written }] }, { input: { n: 5 } });
  const [active] = await new ProcessHandle(database.queue, id).getActiveTasks();
  expect(active?.input).toEqual(written.input);
  const { input } = await claimNamed(database, id, 'A');
  expect(input).toEqual({ n: 5 });
  expect(await readTask(database.db, await taskIdOf(database, id, 'A'))).toMatchObject(written);
});

describe('a task whose expression fails', () => {
  const failing = {
    tasks: [
      {
        name: 'A',
        run: 'x',
        env: { TOKEN: '${{ secrets.T }}', N: 'n is ${{ input.list[input.n].name }}' },
        retry: { attempts: 5 },
      },
      { name: 'B', queue: 'default', needs: ['A'] },
    ],
  };

  test('ends for good, and says which, where and over what', async ({ database }) => {
    const id = await start(database, failing, { input: { n: 3, list: [{ name: 'x'.repeat(300) }] } });
    expect(await claim(database, { limit: 5 })).toEqual([]);
    expect(await statesOf(database, id)).toEqual({ A: 'failed', B: 'cancelled' });
    expect(await stateOf(database, id)).toBe('failed');
    const taskId = await taskIdOf(database, id, 'A');
    const error = {
      code: 'expression_failed',
      message: 'env.N: ${{ input.list[input.n].name }}: there is no [3] in a list of 1',
      details: {
        expression: 'input.list[input.n].name',
        place: 'env.N',
        values: { 'input.list': `[{"name":"${'x'.repeat(90)}…`, 'input.n': '3' },
      },
    };
    expect(await readTask(database.db, taskId)).toMatchObject({ error, attempt: 1, attempts_max: 5 });
    expect(await readAttempts(database.db, taskId)).toMatchObject([
      { outcome: 'failed', error, worker: 'tester' },
    ]);
    expect(await readDeadLetter(database.db, taskId)).toMatchObject({ error });
    expect(await lettersOf(database, id)).toEqual(['A']);
  });

  test('is evaluated anew by a retry of its process and by a replay', async ({ database }) => {
    const id = await start(
      database,
      `
tasks:
  - { name: shaky, queue: default, continue_on_error: true }
  - { name: A, queue: default, needs: [shaky], input: "\${{ tasks.shaky.output.n + random_int(1, 1) }}" }`,
    );
    await run(database, id, 'shaky', { kind: 'completed', output: { n: 'text' } });
    expect(await claim(database)).toEqual([]);
    expect(await stateOf(database, id)).toBe('failed');
    expect(await retryProcess(database.db, id)).toEqual({ kind: 'retried', tasks: ['A'] });
    expect(await claim(database)).toEqual([]);
    await database.sql(`update skipjack.tasks set output = '{"n": 41}' where name = 'shaky'`);
    const taskId = await taskIdOf(database, id, 'A');
    expect(await replayDeadLetter(database.db, taskId)).toMatchObject({ kind: 'replayed' });
    const [task] = await claim(database);
    expect([task?.input, task?.attempt, task && claimNoOf(task)]).toEqual([42, 1, 3]);
    await complete(database, task as ClaimedTask);
    expect(await stateOf(database, id)).toBe('completed');
  });

  test('fails its process as its definition says: continue_on_error goes on', async ({ database }) => {
    const id = await start(
      database,
      `
tasks:
  - { name: A, queue: default, continue_on_error: true, input: "\${{ input.nope }}" }
  - { name: B, queue: default, needs: [A], input: "\${{ tasks.A.error.details.place }}" }`,
    );
    const [task] = await claim(database);
    expect([task?.name, task?.input]).toEqual(['B', 'input']);
    await complete(database, task as ClaimedTask);
    expect(await stateOf(database, id)).toBe('completed');
  });

  test('leaves room: a batch of fifty is still full, in order, the failed ones gone', async ({
    database,
  }) => {
    const tasks = Array.from({ length: 60 }, (_, index) => ({
      name: `t${index}`,
      queue: 'default',
      input: `\${{ 10 / (input.n - ${index} % 7) }}`,
    }));
    const id = await start(database, { fail_fast: false, tasks }, { input: { n: 3 } });
    const sound = tasks.flatMap(({ name }, index) => (index % 7 === 3 ? [] : [name]));
    const claimed = await claim(database, { limit: 50, startLimit: 45 });
    expect(claimed.map((task) => task.name)).toEqual(sound.slice(0, 50));
    expect(claimed.filter((task) => task.started)).toHaveLength(45);
    expect((await claim(database, { limit: 50 })).map((task) => task.name)).toEqual(sound.slice(50));
    const states = Object.values(await statesOf(database, id));
    expect([states.filter((state) => state === 'failed').length, states.length]).toEqual([9, 60]);
    const [item] = await database.sql('select count(*)::integer as items from skipjack.queue_items');
    expect(item).toEqual({ items: 51 });
  });

  test('does not end a long poll: it waits on for one that can run', async ({ database }) => {
    const waiting = claim(database, { limit: 2, waitMs: 20_000 });
    const id = await start(database, failing, { input: { n: 3, list: [] } });
    for (const until = performance.now() + 10_000; performance.now() < until; ) {
      if ((await stateOf(database, id)) === 'failed') break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const taskId = await enqueue(database);
    expect((await waiting).map((task) => task.id)).toEqual([taskId]);
  });

  test('is over for who claims it by its id', async ({ database }) => {
    const id = await start(database, failing, { input: { n: 3, list: [] } });
    const answer = await database.queue.claimOne(await taskIdOf(database, id, 'A'), {
      worker: 'w',
      leaseMs: 30_000,
      timeoutGraceMs: 0,
      claimId: newId(),
    });
    expect(answer).toEqual({ kind: 'ended', state: 'failed' });
  });
});

test('what costs too much fails, and forty such tasks leave others their turn', async ({ database }) => {
  const nested = (body: string) =>
    ['a', 'b', 'c', 'd', 'e', 'f'].reduce((inner, name) => `range(100).map(${name}, ${inner})`, body);
  const tasks = Array.from({ length: 40 }, (_, index) => ({
    name: `t${index}`,
    queue: 'default',
    input: `\${{ ${nested('1')} }}`,
  }));
  await start(database, { fail_fast: false, tasks });
  // In time on the processor: what else the machine does is not counted.
  const workedMs = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000;
  };
  const began = workedMs();
  let longest = 0;
  let last = began;
  const ticking = setInterval(() => {
    const now = workedMs();
    longest = Math.max(longest, now - last);
    last = now;
  }, 1);
  expect(await claim(database, { limit: 40 })).toEqual([]);
  clearInterval(ticking);
  const whole = workedMs() - began;
  const rows = await database.sql<{ message: string }>(
    `select distinct error ->> 'message' as message from skipjack.tasks where state = 'failed'`,
  );
  expect(rows).toHaveLength(1);
  expect(rows[0]?.message).toMatch('takes more than 600000 steps');
  // Two seconds of work: others had their turn in between.
  expect(longest).toBeLessThan(whole / 4);
});

test('a task without expressions asks the database nothing more', async ({ database }) => {
  const counted = { queries: 0 };
  const db = {
    ...database.db,
    pool: new Proxy(database.db.pool, {
      get(of, name) {
        if (name === 'query') counted.queries += 1;
        const value = Reflect.get(of, name, of);
        return typeof value === 'function' ? value.bind(of) : value;
      },
    }),
  };
  const queue = openQueue(db);
  const queriesOf = async (definition: object, input: Json) => {
    await start(database, definition, { input });
    await start(database, definition, { input });
    // The first brings the plan.
    await claim({ queue }, { limit: 1 });
    counted.queries = 0;
    const [task] = await claim({ queue }, { limit: 1 });
    expect(task).toBeDefined();
    return counted.queries;
  };
  const plain = await queriesOf({ tasks: [{ name: 'A', queue: 'default', input: 1 }] }, {});
  expect(plain).toBe(2);
  expect(
    await queriesOf({ tasks: [{ name: 'A', queue: 'default', input: '${{ input.a }}' }] }, { a: 1 }),
  ).toBe(plain);
  await queue.close();
});
