import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { Command } from 'commander';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { validateCommand } from '../../src/cli/commands/validate.ts';
import { toFailure } from '../../src/cli/failure.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'skipjack-validate-'));
});

afterEach(async () => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
  await rm(directory, { recursive: true });
});

async function file(name: string, content: string | Buffer): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, content);
  return path;
}

/** Runs the command as `main` would. */
async function validate(...args: string[]): Promise<{ code: number; stdout: string; message?: string }> {
  let stdout = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk: unknown, done?: unknown) => {
    stdout += chunk;
    if (typeof done === 'function') done();
    return true;
  });
  const program = new Command('skipjack').addCommand(validateCommand());
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ outputError: () => {} });
  }
  process.exitCode = 0;
  try {
    await program.parseAsync(['validate', ...args], { from: 'user' });
    return { code: Number(process.exitCode), stdout };
  } catch (error) {
    const { exitCode, message } = toFailure(error);
    return { code: exitCode, stdout, message };
  } finally {
    vi.restoreAllMocks();
  }
}

const good = 'tasks:\n  - name: Open\n  - name: Review\n    needs: Open\n';
const bad = 'tasks:\n  - name: Open\n  - name: Review\n    needs: Opne\n';

test('a valid file is one line and exit code 0', async () => {
  const loan = await file('loan.yaml', good);
  const one = await file('one.json', '{"tasks": [{"name": "A"}]}');
  expect(await validate(loan, one)).toEqual({
    code: 0,
    stdout: `${loan}: valid, 2 tasks\n${one}: valid, 1 task\n`,
  });
});

test('what is wrong is shown on stdout, with exit code 5, beside what is valid', async () => {
  const loan = await file('loan.yaml', good);
  const typo = await file('typo.yaml', bad);
  expect(await validate(loan, typo)).toEqual({
    code: 5,
    stdout: `${loan}: valid, 2 tasks
${typo}:4:12: there is no task "Opne" (unknown_need)
      needs: Opne
             ^
  did you mean "Open"?
`,
  });
});

test('-o json prints every file with its problems', async () => {
  const loan = await file('loan.yaml', good);
  const typo = await file('typo.yaml', bad);
  const { code, stdout } = await validate(loan, typo, '-o', 'json');
  expect(code).toBe(5);
  expect(JSON.parse(stdout)).toEqual([
    { file: loan, valid: true, tasks: 2, problems: [] },
    {
      file: typo,
      valid: false,
      tasks: null,
      problems: [
        {
          pointer: '/tasks/1/needs',
          line: 4,
          column: 12,
          code: 'unknown_need',
          message: 'there is no task "Opne"',
          suggestion: 'Open',
          excerpt: '    needs: Opne',
        },
      ],
    },
  ]);
});

test('- is stdin', async () => {
  const stdin = vi.spyOn(process, 'stdin', 'get');
  stdin.mockReturnValue(
    Readable.from([Buffer.from(good.slice(0, 10)), Buffer.from(good.slice(10))]) as never,
  );
  expect(await validate('-')).toEqual({ code: 0, stdout: '-: valid, 2 tasks\n' });
});

test('a file that is not there is exit code 3, before any is judged', async () => {
  const loan = await file('loan.yaml', good);
  const missing = join(directory, 'missing.yaml');
  expect(await validate(loan, missing)).toEqual({
    code: 3,
    stdout: '',
    message: `There is no file ${missing}.`,
  });
});

test('a directory, or no file at all, is a mistake of usage', async () => {
  expect(await validate(directory)).toEqual({
    code: 2,
    stdout: '',
    message: `${directory} cannot be read: it is a directory.`,
  });
  expect(await validate()).toMatchObject({ code: 2, stdout: '' });
});

test('a file without end, or without text, is refused like any other', async () => {
  expect(await validate('/dev/zero')).toEqual({
    code: 5,
    stdout: '/dev/zero:1:1: the definition is larger than 2097152 bytes (too_large)\n',
  });
  const bytes = await file('utf16.yaml', Buffer.from(`\ufeff${good}`, 'utf16le'));
  expect(await validate(bytes)).toEqual({
    code: 5,
    stdout: `${bytes}:1:1: this is not text in UTF-8 (not_utf8)\n`,
  });
});

test('its help ends with examples', () => {
  let help = '';
  validateCommand()
    .configureOutput({ writeOut: (text) => (help += text) })
    .outputHelp();
  expect(help).toMatch(/\nExamples:\n( {2}\$ .*\n)+$/);
});
