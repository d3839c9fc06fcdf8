/** `skipjack retry --input-of`, over one `dev`. */
import { expect } from 'vitest';
import { test } from '../support/database.ts';
import { start, taskIdOf } from '../support/processes.ts';
import { skipjack, startSkipjack, urlOf } from './support/cli.ts';

test('retry takes other inputs for tasks that failed, also where their names have a =', async ({
  database,
}) => {
  const dev = startSkipjack(['dev', '--port', '0'], { env: { DATABASE_URL: database.url } });
  const env = { SKIPJACK_URL: await urlOf(dev) };
  const ask = (...args: string[]) => skipjack(args, { env });
  const id = await start(database, { 'a=b': { queue: 'people' }, c: { queue: 'people' } });
  expect((await ask('fail', id, 'a=b', '--error', 'no')).code).toBe(0);

  const wrong = await ask('retry', id, '--input-of', 'c={"n": 1}');
  expect(wrong).toMatchObject({ code: 5, stdout: '' });
  expect(wrong.stderr).toContain('"c" is no task that failed. The input can be changed of "a=b".');
  expect(await ask('retry', id, '--input-of', 'a=b={n}')).toMatchObject({ code: 5, stdout: '' });
  const text = await ask('retry', id, '--input-of', 'c=no');
  expect(text.stderr).toContain(`Text needs its quotes: --input-of 'c="hello"'.`);
  for (const args of [
    ['--input-of', 'none'],
    ['--input-of', 'c=1', '--input-of', 'c=2'],
  ])
    expect(await ask('retry', id, ...args), String(args)).toMatchObject({ code: 2, stdout: '' });

  const retried = await ask('retry', id, '--input-of', 'a=b={"n": "x=y"}');
  expect(retried).toEqual({ code: 0, stdout: 'The process is running again, with "a=b".\n', stderr: '' });
  const [row] = await database.sql('select input from skipjack.tasks where id = $1', [
    await taskIdOf(database, id, 'a=b'),
  ]);
  expect(row).toEqual({ input: { n: 'x=y' } });
});
