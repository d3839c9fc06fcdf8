import { pino } from 'pino';
import { expect, test } from 'vitest';
import { attemptEnded } from '../../src/worker/attempt-ended.ts';
import { Announcer } from '../../src/worker/events.ts';
import { logAttempts } from '../../src/worker/log-attempts.ts';
import { logTrouble } from '../../src/worker/log-trouble.ts';
import { claimedTask } from './support/tasks.ts';

function logged(): { lines: Record<string, unknown>[]; log: pino.Logger } {
  const lines: Record<string, unknown>[] = [];
  return { lines, log: pino({}, { write: (line: string) => lines.push(JSON.parse(line)) }) };
}

test('a completed attempt is one line with its output, and never its input', () => {
  const { lines, log } = logged();
  const worker = new Announcer();
  logAttempts(worker, log);
  const task = claimedTask(
    { type: 'command', command: 'echo', args: ['secret'] },
    { input: 'secret', wait_ms: 7 },
  );
  worker.announce(
    'attempt.ended',
    attemptEnded(task, { kind: 'completed', output: 'hello world', exitCode: 0 }, 12.4),
  );
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatchObject({
    task: task.id,
    name: 'test task',
    queue: 'default',
    attempt: 1,
    success: true,
    output: 'hello world',
    error: null,
    wait_ms: 7,
    run_ms: 12,
  });
  expect(JSON.stringify(lines)).not.toContain('secret');
});

test('a long output is cut between two characters', () => {
  const { lines, log } = logged();
  const worker = new Announcer();
  logAttempts(worker, log);
  const outcome = { kind: 'completed', output: { text: 'ü'.repeat(5_000) } } as const;
  worker.announce('attempt.ended', attemptEnded(claimedTask(null), outcome, 1));
  const output = String(lines[0]?.output);
  expect(Buffer.byteLength(output)).toBeLessThanOrEqual(1_024 + 3);
  expect(output).toMatch(/^\{"text":"ü+…$/);
});

test('a failed attempt shows its error without details', () => {
  const { lines, log } = logged();
  const worker = new Announcer();
  logAttempts(worker, log);
  const error = {
    code: 'exit_code',
    message: 'the command exited with code 3',
    details: { stderr: 'secret' },
  };
  worker.announce(
    'attempt.ended',
    attemptEnded(claimedTask(null), { kind: 'failed', error, exitCode: 3 }, 1),
  );
  expect(lines[0]).toMatchObject({
    level: 40,
    success: false,
    output: null,
    error: { code: 'exit_code', message: 'the command exited with code 3' },
    exit_code: 3,
  });
  expect(JSON.stringify(lines)).not.toContain('secret');
});

test('refused tasks of one name and queue are mentioned once', () => {
  const { lines, log } = logged();
  const worker = new Announcer();
  logTrouble(worker, log);
  for (const name of ['a', 'a', 'b', 'a']) {
    worker.announce('task.refused', { task: claimedTask(null, { name }), why: 'no handler' });
  }
  expect(lines.map(({ name }) => name)).toEqual(['a', 'b']);
});
