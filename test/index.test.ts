/**
 * The examples in the TSDoc of src/index.ts, run as they stand against a real server and database. What they
 * print must be what the comment behind each `console.log` says.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import express from 'express';
import { expect, onTestFinished } from 'vitest';
import { startServer } from '../src/api/server.ts';
import * as skipjack from '../src/index.ts';
import { createDatabaseTaskSource, createWorker, Engine } from '../src/index.ts';
import { test } from './support/database.ts';

const source = readFileSync(join(import.meta.dirname, '../src/index.ts'), 'utf8');
const exampleUrl = 'http://127.0.0.1:3000';

interface Example {
  title: string;
  code: string;
}

const examples: Example[] = source
  .split('/**')
  .slice(1)
  .filter((part) => part.includes('@example'))
  .map((part) => {
    const [comment = '', rest = ''] = part.split('*/');
    const [, example = ''] = comment.split('@example');
    return {
      title: rest.replaceAll(/\s+/g, ' ').split(';')[0]?.trim() ?? '',
      code: example.replaceAll(/^ \* ?/gm, '').trim(),
    };
  });

// biome-ignore lint/complexity/useArrowFunction: the constructor has no other name.
const AsyncFunction = async function () {}.constructor as new (
  ...parts: string[]
) => (...values: unknown[]) => Promise<void>;

test('everything but types has an example', () => {
  const described = examples.map(({ title }) => title).join('\n');
  const names = Object.keys(skipjack).filter((name) => !described.includes(name));
  expect(names).toEqual([]);
});

for (const { title, code } of examples) {
  test(title, async ({ database }) => {
    const { queue, url: databaseUrl } = database;
    const server = await startServer(new Engine({ queue }), { port: 0 });
    onTestFinished(() => server.close());
    // As `skipjack dev` does: commands on the queue "default" are run.
    const source = createDatabaseTaskSource(queue, { signal: new AbortController().signal });
    const worker = createWorker({ source });
    worker.start();
    onTestFinished(() => worker.stop());
    const printed: string[] = [];
    const expected = [...code.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, said]) => said);
    const body = code
      .replaceAll(/^import (.*) from '(.*)';$/gm, "const $1 = modules['$2'];")
      .replaceAll(exampleUrl, server.url);
    const run = new AsyncFunction('modules', 'process', 'console', body);
    await run(
      { skipjack, express },
      { env: { DATABASE_URL: databaseUrl } },
      { log: (...values: unknown[]) => printed.push(values.join(' ')), error: console.error },
    );
    expect(printed).toEqual(expected);
  });
}
