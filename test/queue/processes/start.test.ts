/** Start: what a definition makes of an input, what a key makes of a request, and the same from SQL. */
import { describe, expect } from 'vitest';
import { newId } from '../../../src/core/ids.ts';
import type { Json } from '../../../src/core/json.ts';
import type { InputRule, Plan } from '../../../src/core/plan.ts';
import { startProcesses } from '../../../src/engine/start.ts';
import { deleteProcess } from '../../../src/queue/processes/delete.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import { newProcess, processOf, publish, run, start, statesOf, tryStart } from '../../support/processes.ts';
import { claim } from '../../support/tasks.ts';

const rule = (type: InputRule['type'], more: Partial<InputRule> = {}): InputRule => ({
  type,
  required: false,
  ...more,
});
const rules: NonNullable<Plan['input']> = {
  who: rule('string', { required: true }),
  amount: rule('number', { default: 1000 }),
  count: rule('integer'),
  urgent: rule('boolean', { default: false }),
  options: rule('object', { default: { deep: [1] } }),
  list: rule('array'),
  whatever: rule('any', { default: null }),
  colour: rule('string', { enum: ['red', 'blue'] }),
  'a/b~c': rule('string'),
};
const defaults = { amount: 1000, urgent: false, options: { deep: [1] }, whatever: null };

/** What the process got, or what was wrong. */
async function given(database: TestDatabase, input: Json, of: Plan['input'] = rules): Promise<unknown> {
  const definitionId = await publish(database, { a: [] }, { input: of });
  const result = await tryStart(database, { definition_id: definitionId, input });
  if (result.kind === 'invalid_input')
    return result.problems.map(({ pointer, code }) => `${pointer} ${code}`);
  if (result.kind !== 'created') return result;
  const [task] = await claim(database, { filter: { name: 'a' } });
  return task?.process?.id === result.id ? task.process.input : 'another process';
}

describe('the input of a process', () => {
  test('gets the defaults of what it leaves out, and nothing else is changed', async ({ database }) => {
    expect(await given(database, { who: 'Ann' })).toEqual({ ...defaults, who: 'Ann' });
    const whole = {
      who: '',
      amount: 0.5,
      count: -3,
      urgent: true,
      options: {},
      list: [],
      whatever: [{}],
      colour: 'red',
      'a/b~c': 'x',
    };
    expect(await given(database, whole)).toEqual(whole);
    expect(await given(database, { who: 'Ann', count: 3.0 })).toMatchObject({ count: 3 });
    expect(await given(database, { who: 'Ann', whatever: null, count: 1e21 })).toEqual({
      ...defaults,
      who: 'Ann',
      count: 1e21,
    });
  });

  test('is refused with every problem and where it is', async ({ database }) => {
    expect(await given(database, {})).toEqual(['/who missing_input']);
    expect(await given(database, null)).toEqual(['/who missing_input']);
    expect(
      await given(database, {
        who: null,
        amount: '7',
        count: 1.5,
        urgent: 'true',
        options: [],
        list: {},
        colour: 'green',
        'a/b~c': 1,
        more: 1,
      }),
    ).toEqual([
      '/a~1b~0c wrong_type',
      '/amount wrong_type',
      '/colour not_in_enum',
      '/count wrong_type',
      '/list wrong_type',
      '/more unknown_input',
      '/options wrong_type',
      '/urgent wrong_type',
      '/who wrong_type',
    ]);
    for (const wrong of [[], 'text', 7, true]) expect(await given(database, wrong)).toEqual([' wrong_type']);
    expect(await database.sql('select from skipjack.processes')).toEqual([]);
  });

  test('is any object where the definition says nothing of it, and an empty one where it takes none', async ({
    database,
  }) => {
    expect(await given(database, { any: ['thing'] }, null)).toEqual({ any: ['thing'] });
    expect(await given(database, null, null)).toEqual({});
    expect(await given(database, [], null)).toEqual([' wrong_type']);
    expect(await given(database, {}, {})).toEqual({});
    expect(await given(database, { a: 1 }, {})).toEqual(['/a unknown_input']);
  });

  test('that does not fit is spoken of in sentences', async ({ database }) => {
    const definitionId = await publish(database, { a: [] }, { input: rules });
    const input = { amount: 'much', colour: 'green', more: 1 };
    const result = await tryStart(database, { definition_id: definitionId, input });
    const sentences =
      result.kind === 'invalid_input' ? result.problems.map((problem) => problem.message) : [];
    expect(sentences).toContain('the input "who" is required');
    expect(sentences.find((sentence) => sentence.includes('"more"'))).toMatch(
      /known are a\/b~c, amount, colour/,
    );
  });
});

describe('a start', () => {
  test('of a name is of its newest version, unless another is named', async ({ database }) => {
    await publish(database, { a: [] }, { name: 'd' });
    await publish(database, { b: [] }, { name: 'd' });
    const [newest, first] = [
      await tryStart(database, { definition: 'd' }),
      await tryStart(database, { definition: 'd', version: 1 }),
    ];
    if (newest.kind !== 'created' || first.kind !== 'created') throw new Error('not created');
    expect([await statesOf(database, newest.id), await statesOf(database, first.id)]).toEqual([
      { b: 'waiting' },
      { a: 'waiting' },
    ]);
    for (const unknown of [{ definition: 'e' }, { definition: 'd', version: 3 }, { definition_id: newId() }])
      expect(await tryStart(database, unknown)).toEqual({ kind: 'no_such_definition' });
  });

  test('with a key is repeated by the same request, whatever its name means now, and refused to another', async ({
    database,
  }) => {
    await publish(database, { a: [] }, { name: 'd' });
    const request = { definition: 'd', input: { b: 1, a: [2] }, idempotency_key: 'k' };
    const made = await tryStart(database, request);
    if (made.kind !== 'created') throw new Error('not created');
    await publish(database, { b: [] }, { name: 'd', input: { never: rule('any', { required: true }) } });
    expect(await tryStart(database, { ...request, input: { a: [2], b: 1 } })).toEqual({
      kind: 'existing',
      id: made.id,
    });
    for (const other of [{ input: { b: 1 } }, { version: 1 }, { definition: 'e' }])
      expect(await tryStart(database, { ...request, ...other })).toEqual({
        kind: 'key_conflict',
        id: made.id,
      });
    const twice = [
      newProcess({ definition: 'd', version: 1, idempotency_key: 'l' }),
      newProcess({ definition: 'd', version: 1, idempotency_key: 'l' }),
    ];
    const kinds = (await startProcesses(database.db, twice)).map((result) => result.kind);
    expect(kinds.sort()).toEqual(['created', 'existing']);
    await run(database, made.id, 'a');
    await deleteProcess(database.db, made.id);
    expect(await tryStart(database, request)).toMatchObject({ kind: 'invalid_input' });
    expect(await database.sql(`select from skipjack.idempotency_keys where key = 'k'`)).toEqual([]);
  });

  test('whose batch is sent again, for its commit was unknown, makes nothing twice', async ({ database }) => {
    await publish(database, { a: [], b: ['a'] }, { name: 'd' });
    for (const keys of [
      [null, null],
      ['k', 'l'],
    ]) {
      const batch = keys.map((key) => newProcess({ definition: 'd', idempotency_key: key }));
      const answer = await startProcesses(database.db, batch);
      const [{ id }] = batch as [ReturnType<typeof newProcess>];
      await run(database, id, 'a');
      expect(await startProcesses(database.db, batch)).toEqual(answer);
      expect(answer).toEqual(batch.map((each) => ({ kind: 'created', id: each.id })));
      expect(await statesOf(database, id)).toEqual({ a: 'completed', b: 'waiting' });
    }
  });

  test('with a key and one without go together in a batch, whatever becomes of either', async ({
    database,
  }) => {
    await publish(database, { a: [] }, { name: 'd' });
    const known = await tryStart(database, { definition: 'd', idempotency_key: 'known' });
    if (known.kind !== 'created') throw new Error('not created');
    const batch = [
      newProcess({ definition: 'd' }),
      newProcess({ definition: 'd', idempotency_key: 'new' }),
      newProcess({ definition: 'd', idempotency_key: 'known' }),
      newProcess({ definition: 'd', input: { n: 1 }, idempotency_key: 'known' }),
      newProcess({ definition: 'e' }),
    ];
    const results = await startProcesses(database.db, batch);
    expect(results.map((result) => result?.kind)).toEqual([
      'created',
      'created',
      'existing',
      'key_conflict',
      'no_such_definition',
    ]);
    expect(await database.sql('select from skipjack.processes')).toHaveLength(3);
  });

  test('of a bad one leaves the others of its batch alone, and answers in the order of the batch', async ({
    database,
  }) => {
    await publish(database, { a: [] }, { name: 'd', input: { n: rule('number', { required: true }) } });
    const inputs = [{ n: 1 }, {}, { n: 2 }, { n: 'x' }];
    const batch = inputs.map((input, index) => newProcess({ definition: index === 2 ? 'e' : 'd', input }));
    const kinds = (await startProcesses(database.db, batch)).map((result) => result.kind);
    expect(kinds).toEqual(['created', 'invalid_input', 'no_such_definition', 'invalid_input']);
  });

  test('puts the tasks without needs on their queues in the order of the definition', async ({
    database,
  }) => {
    const graph = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`t${index}`, []]));
    const ids = [await start(database, graph), await start(database, graph)];
    const tasks = await claim(database, { limit: 60 });
    const wanted = ids.flatMap((id) => Object.keys(graph).map((name) => `${id} ${name}`));
    expect(tasks.map((task) => `${task.process?.id} ${task.name}`)).toEqual(wanted);
  });
});

describe('skipjack.start_process', () => {
  test('is part of the transaction of its caller: rolled back, it leaves nothing', async ({ database }) => {
    await publish(database, { a: [], b: ['a'] }, { name: 'd' });
    const client = await database.connect();
    await client.query('begin');
    await client.query(`select skipjack.start_process('d', '{"n": 1}', 'k')`);
    await client.query('rollback');
    for (const table of ['processes', 'process_inputs', 'tasks', 'queue_items', 'idempotency_keys'])
      expect(await database.sql(`select from skipjack.${table}`), table).toEqual([]);
  });

  test('wakes who waits for work when its caller commits, and not before', async ({ database }) => {
    await publish(database, { a: [] }, { name: 'd' });
    const waiting = claim(database, { waitMs: 20_000 });
    const client = await database.connect();
    await client.query('begin');
    const { rows } = await client.query(`select skipjack.start_process('d', '{"n": 1}') as id`);
    expect(await claim(database)).toEqual([]);
    await client.query('commit');
    const [task] = await waiting;
    expect(task).toMatchObject({ name: 'a', process: { id: rows[0].id, definition: 'd', input: { n: 1 } } });
    expect(await processOf(database, rows[0].id)).toMatchObject({ state: 'running', unfinished: 1 });
  });

  test('answers its process again to the same key, also where the library started it', async ({
    database,
  }) => {
    await publish(database, { a: [] }, { name: 'd' });
    const [first] = await database.sql(`select skipjack.start_process('d', '{"n": 1}', 'k') as id`);
    expect(await database.sql(`select skipjack.start_process('d', '{"n": 1}', 'k') as id`)).toEqual([first]);
    const again = await tryStart(database, { definition: 'd', input: { n: 1 }, idempotency_key: 'k' });
    expect(again).toEqual({ kind: 'existing', id: first?.id });
  });

  test('refuses in sentences', async ({ database }) => {
    await publish(database, { a: [] }, { name: 'd', input: rules });
    const calls: [string, RegExp][] = [
      [`(null)`, /name the definition/],
      [`('e')`, /there is no definition "e"$/],
      [`('d', '{"who": "Ann"}', null, 7)`, /there is no definition "d" in version 7/],
      [`('d', '{"who": "Ann"}', '')`, /"idempotency_key" has fewer than 1 or more than 200 letters/],
      [`('d', '{}')`, /invalid_input: .*the input "who" is required/],
      [`('d', '{"who": "Ann", "amount": "much"}')`, /invalid_input: .*amount.*is string, not number/],
      [
        `('d', '{"who": "Bob"}', 'k')`,
        /idempotency_conflict: the key "k" started process .* by another request/,
      ],
    ];
    await database.sql(`select skipjack.start_process('d', '{"who": "Ann"}', 'k')`);
    for (const [call, sentence] of calls)
      await expect(database.sql(`select skipjack.start_process${call}`), call).rejects.toThrow(sentence);
  });

  test('starts a process whose first tasks stand on a hundred queues', async ({ database }) => {
    const graph = Object.fromEntries(
      Array.from({ length: 100 }, (_, index) => [`t${index}`, { queue: `${'q'.repeat(180)} ${index}` }]),
    );
    await publish(database, graph, { name: 'd' });
    await database.sql(`select skipjack.start_process('d')`);
    expect(await database.sql('select from skipjack.queue_items')).toHaveLength(100);
  });
});
