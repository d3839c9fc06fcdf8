import { describe, expect, test } from 'vitest';
import { explainCommand } from '../../src/cli/commands/explain.ts';
import { runCommand } from './support/in-process.ts';

const explain = (...args: string[]) => runCommand(explainCommand(), args);

test('a key is explained: its type, what it means, what holds without it, an example', async () => {
  expect(await explain('tasks.retry.delay')).toEqual({
    code: 0,
    stdout: `tasks.retry.delay: a duration

Before the second try.

Without it: 1s

For example:
  delay: 2s
`,
  });
});

test('without a field the keys of a definition are shown, those that must be there marked', async () => {
  const { code, stdout } = await explain();
  expect(code).toBe(0);
  expect(stdout).toMatch(/^A definition of processes/);
  expect(stdout).toMatch(/^ {2}tasks\* +a list of maps +What is to be done$/m);
  expect(stdout).toMatch(/^ {2}deadline +a duration +How long/m);
});

test('lists are passed through, and any name stands for the names of a map', async () => {
  expect((await explain('tasks.sidecars.probe.port')).stdout).toContain('a whole number');
  expect((await explain('input.amount.type')).stdout).toContain('One of: string, number');
  expect((await explain('input.<name>')).stdout).toContain('The rule of one input');
  expect((await explain('defaults.retry')).stdout).toMatch(/^ {2}attempts +a whole number/m);
});

test('as JSON it has the same, with the keys below it', async () => {
  const { stdout } = await explain('tasks.wait_for', '-o', 'json');
  expect(JSON.parse(stdout)).toMatchObject({
    path: 'tasks.wait_for',
    type: 'text, or a map',
    required: false,
    example: { event: 'paid' },
    members: [
      { path: 'tasks.wait_for.event', type: 'text', required: true },
      { path: 'tasks.wait_for.key' },
      { path: 'tasks.wait_for.timeout', type: 'a duration' },
    ],
  });
});

describe('a key that there is not', () => {
  test.each([
    ['taks', 'Did you mean "tasks"?'],
    ['tasks.retry.dely', '"tasks.retry" has no key "dely". Did you mean "tasks.retry.delay"?'],
    ['retry', 'Did you mean "tasks.retry"?'],
    ['tasks.name.first', '"tasks.name" has no key "first". See "skipjack explain tasks.name".'],
    ['', null],
    ['tasks.', '"tasks" has no key ""'],
    ['__proto__', 'A definition has no key "__proto__"'],
  ])('"%s": %s', async (field, hint) => {
    const { code, message, stdout } = await explain(field);
    if (hint === null) {
      expect(code).toBe(0);
      return;
    }
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(message).toContain(hint);
  });
});
