/** The JSON Schema of definitions, against the checks that decide. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { fieldWords } from '../../src/definition/descriptions.ts';
import { explainField } from '../../src/definition/explain.ts';
import { type JsonSchema, makeJsonSchema, membersOf } from '../../src/definition/json-schema.ts';
import { parseDefinition } from '../../src/definition/parse-definition.ts';
import { findMisfits } from './support/fits-schema.ts';

const schema = makeJsonSchema();
const examples = join(import.meta.dirname, '../examples');

function pathsOf(of: JsonSchema, path: string[] = []): string[] {
  return membersOf(of).flatMap(({ name, schema: member }) => {
    const own = [...path, name];
    return [own.join('.'), ...pathsOf(member, own)];
  });
}

const paths = pathsOf(schema);

describe('the words', () => {
  test('are there for every key', () => {
    expect(paths.length).toBeGreaterThan(100);
    const silent = paths.filter((path) => {
      const explained = explainField(path);
      return explained.kind === 'unknown' || !explained.explanation.description;
    });
    expect(silent).toEqual([]);
  });

  test('are of keys that there are', () => {
    expect(Object.keys(fieldWords).filter((path) => path !== '' && !paths.includes(path))).toEqual([]);
  });

  test('have examples that fit', () => {
    const misfits = paths.flatMap((path) => {
      const parts = path.split('.');
      let at: JsonSchema = schema;
      for (const part of parts) at = membersOf(at).find(({ name }) => name === part)?.schema ?? {};
      // The element of a list is explained as the list is.
      return [...(at.examples ?? []), ...(at.default === undefined ? [] : [at.default])].flatMap((example) =>
        path === 'tasks.if' ? [] : findMisfits(at, example, path),
      );
    });
    expect(misfits).toEqual([]);
  });
});

describe('what is right', () => {
  const files = readdirSync(examples).filter((file) => file.endsWith('.yaml'));
  test.each(files)('%s fits', (file) => {
    const text = readFileSync(join(examples, file), 'utf8');
    expect(parseDefinition(text)).toMatchObject({ kind: 'valid' });
    expect(findMisfits(schema, parse(text))).toEqual([]);
  });

  test.each([
    'tasks: [{ name: A }]',
    'name: x\ndescription: why\nfail_fast: false\ndeadline: 2h\non_failure: cleanup\noutput: { a: [1] }\ntasks: [{ name: A }]',
    'on_failure: { definition: cleanup, version: 2 }\ntasks: [{ name: A }]',
    'input: { a: { type: string, required: true }, b: { enum: [1, null], default: 1 }, c: {} }\ntasks: [{ name: A }]',
    'defaults: { queue: q, priority: 9, retry: { attempts: 3 }, timeout: 1m, env: { A: b }, continue_on_error: true }\ntasks: [{ name: A, run: "true" }]',
    'tasks: [{ name: A }, { name: B, needs: A, if: true }, { name: C, needs: [A, B], if: always() }]',
    'tasks: [{ name: A, run: x, each: [1, { a: 2 }], concurrency: 2, max_failures: 1 }]',
    'input: { list: { type: array } }\ntasks: [{ name: A, run: x, each: input.list }]',
    'input: { list: { type: array } }\ntasks: [{ name: A, run: x, matrix: { a: [1, 2], b: "${{ input.list }}" } }]',
    'tasks: [{ name: A, process: child }, { name: B, process: { definition: child, version: 1, input: { a: 1 }, detached: true } }]',
    'input: { m: { type: object } }\ntasks: [{ name: A, process: { definition: child, input: "${{ input.m }}" } }]',
    'input: { t: { type: string } }\ntasks: [{ name: A, sleep: 10m }, { name: B, sleep: { until: "2026-01-31T08:00:00Z" } }, { name: C, sleep: "${{ input.t }}" }]',
    'tasks: [{ name: A, wait_for: paid }, { name: B, wait_for: { event: paid, key: "42", timeout: 7d } }]',
    'tasks: [{ name: A, run: x, delay: 10m }, { name: B, run: x, run_at: "2026-01-31T08:00:00+01:00" }]',
    'tasks: [{ name: A, image: alpine, cmd: [a], pre: [{ image: b, run: x }], sidecars: [{ name: db, image: c, probe: { port: 80 } }], mounts: [{ type: tmpfs, target: /x }], limits: { cpus: 0.5, memory: 64m }, gpus: 1 }]',
  ])('%s', (text) => {
    expect(parseDefinition(text)).toMatchObject({ kind: 'valid' });
    expect(findMisfits(schema, parse(text))).toEqual([]);
  });
});

describe('what is wrong in one place is refused', () => {
  test.each([
    ['tasks: []', 'minItems'],
    ['name: x', 'required'],
    ['tasks: { A: {} }', 'type'],
    ['tasks: [{ run: x }]', 'required'],
    ['tasks: [{ name: "" }]', 'minLength'],
    ['tasks: [{ name: 1 }]', 'type'],
    ['taks: []\ntasks: [{ name: A }]', 'unknown'],
    ['tasks: [{ name: A, cmmand: x }]', 'unknown'],
    ['tasks: [{ name: A, needs: 1 }]', 'anyOf'],
    ['tasks: [{ name: A, run: x, retry: { attempts: 0 } }]', 'minimum'],
    ['tasks: [{ name: A, run: x, retry: { atempts: 1 } }]', 'unknown'],
    ['tasks: [{ name: A, run: x, timeout: soon }]', 'pattern'],
    ['tasks: [{ name: A, run: x, timeout: 30 }]', 'type'],
    ['tasks: [{ name: A, run: x, priority: 10 }]', 'maximum'],
    ['tasks: [{ name: A, run: x, env: { A: 1 } }]', 'type'],
    ['tasks: [{ name: A, run: x, env: { "A B": x } }]', 'pattern'],
    ['tasks: [{ name: A, run: x, continue_on_error: maybe }]', 'type'],
    ['tasks: [{ name: A, args: [x] }]', 'goes with command'],
    ['tasks: [{ name: A, cmd: [x] }]', 'goes with image'],
    ['tasks: [{ name: A, command: x, run: y }]', 'not'],
    ['tasks: [{ name: A, run: x, delay: 1m, run_at: "2026-01-31T08:00:00Z" }]', 'not'],
    ['tasks: [{ name: A, run: x, run_at: tomorrow }]', 'anyOf'],
    ['tasks: [{ name: A, run: x, each: [1], matrix: { a: [1] } }]', 'not'],
    ['tasks: [{ name: A, run: x, each: 5 }]', 'anyOf'],
    ['tasks: [{ name: A, run: x, each: [1], concurrency: 0 }]', 'minimum'],
    ['tasks: [{ name: A, run: x, matrix: { a: 1 } }]', 'anyOf'],
    ['tasks: [{ name: A, process: { version: 1 } }]', 'anyOf'],
    ['tasks: [{ name: A, process: child, run: x }]', 'not'],
    ['tasks: [{ name: A, sleep: 5 }]', 'anyOf'],
    ['tasks: [{ name: A, sleep: 5m, wait_for: x }]', 'not'],
    ['tasks: [{ name: A, wait_for: { key: x } }]', 'anyOf'],
    ['tasks: [{ name: A, image: x, mounts: [{ type: nfs, target: /x }] }]', 'oneOf'],
    ['tasks: [{ name: A, image: x, pre: [{ cmd: [x] }] }]', 'required'],
    ['deadline: never\ntasks: [{ name: A }]', 'pattern'],
    ['on_failure: 5\ntasks: [{ name: A }]', 'anyOf'],
    ['fail_fast: 1\ntasks: [{ name: A }]', 'type'],
    ['input: { a: { type: text } }\ntasks: [{ name: A }]', 'enum'],
    ['input: [a]\ntasks: [{ name: A }]', 'type'],
    ['defaults: { queues: x }\ntasks: [{ name: A }]', 'unknown'],
  ])('%s: %s', (text, what) => {
    expect(parseDefinition(text)).toMatchObject({ kind: 'invalid' });
    expect(findMisfits(schema, parse(text)).join('; ')).toContain(what);
  });
});
