/** A program may print as much as it likes: the worker's memory does not grow with it. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { outputBytesMax } from '../../src/worker/storable.ts';

const fixture = join(import.meta.dirname, 'support/executor-process.mjs');

beforeAll(() => {
  if (!existsSync(join(import.meta.dirname, '../../dist')))
    throw new Error('dist/ is missing: run "npm run build"');
});

interface Report {
  ending: { kind: string; output: string };
  logged: { bytes: number; ended: number };
  grownBytes: number;
}

/** Runs the command in an OS process of its own that has nothing else to do. */
async function runAlone(program: string): Promise<Report> {
  const spec = { type: 'command', command: process.execPath, args: ['-e', program] };
  const { stdout } = await promisify(execFile)(process.execPath, [fixture, JSON.stringify(spec)], {
    maxBuffer: 16_000_000,
  });
  return JSON.parse(stdout);
}

/** Lines of 0 to 4000 characters of 1 to 4 bytes each, from the seed's own dice, written as fast as they are read. */
const printLines = `
  const { writeSync } = require('node:fs');
  let seed = 7;
  const dice = (sides) => (seed = (seed * 48271) % 2147483647) % sides;
  const characters = ['x', '\\u00e4', '\\u20ac', '\\u{1f41f}'];
  const lines = Array.from({ length: 500 }, () => Buffer.from(characters[dice(4)].repeat(dice(4000)) + '\\n'));
  for (let left = 200_000_000; left > 0; ) {
    let line = lines[dice(lines.length)].subarray(0, left);
    left -= line.length;
    // At the very end a character may be cut.
    while (line.length > 0) {
      try { line = line.subarray(writeSync(1, line)); } catch (error) { if (error.code !== 'EAGAIN') throw error; }
    }
  }
`;

test('200 MB in lines of random length: bounded memory, all of it logged, the output cut between two characters', async () => {
  const { ending, logged, grownBytes } = await runAlone(printLines);
  expect(ending.kind).toBe('completed');
  expect(logged).toEqual({ bytes: 200_000_000, ended: 2 });
  const bytes = Buffer.byteLength(JSON.stringify(ending.output));
  expect(bytes).toBeLessThanOrEqual(outputBytesMax);
  expect(bytes).toBeGreaterThan(outputBytesMax - 100);
  expect(ending.output).toMatch(/\n\[… cut: 200000000 bytes in all\]$/);
  expect(ending.output).not.toContain('\ufffd');
  // Some 40 MB, for 800 MB of output as well: V8 collects buffers when 32 MB of them lie about.
  expect(grownBytes).toBeLessThan(64_000_000);
});
