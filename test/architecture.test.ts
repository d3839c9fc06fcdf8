/** Which room may import which; no cycles; nothing that no entry point reaches. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

const source = path.resolve(import.meta.dirname, '../src');

/** The table of the README: a room may import itself and these. */
const rooms: Record<string, string[]> = {
  core: [],
  expression: ['core'],
  database: ['core'],
  queue: ['core', 'expression', 'database'],
  definition: ['core', 'expression'],
  engine: ['core', 'expression', 'definition', 'database', 'queue'],
  worker: ['core'],
  metrics: ['core', 'queue'],
  api: ['core', 'definition', 'database', 'queue', 'engine', 'metrics'],
  client: ['core'],
  cli: [
    'core',
    'definition',
    'database',
    'queue',
    'engine',
    'worker',
    'api',
    'client',
    'metrics',
    'config.ts',
    'index.ts',
  ],
  'config.ts': ['core'],
  'index.ts': [
    'core',
    'definition',
    'database',
    'queue',
    'engine',
    'worker',
    'api',
    'client',
    'metrics',
    'config.ts',
  ],
};

/** Types of the API's views are the client's answers: imported as types, never as code. */
const typesOnly: Record<string, string[]> = { client: ['api', 'queue', 'engine'] };

interface Import {
  from: string;
  to: string;
  isType: boolean;
}

const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) =>
  file.endsWith('.ts'),
);

const imports: Import[] = files.flatMap((file) => {
  const text = readFileSync(path.join(source, file), 'utf8');
  const found = text.matchAll(
    /^\s*(?:import|export)\s+(type\s+)?[^'"]*?from\s+'(\.[^']+)'|import\(\s*'(\.[^']+)'\s*\)/gm,
  );
  return [...found].map((match) => ({
    from: file,
    to: path.join(path.dirname(file), match[2] ?? match[3] ?? ''),
    isType: match[1] !== undefined,
  }));
});

const roomOf = (file: string) => file.split(path.sep)[0] ?? file;

describe('the rooms', () => {
  test('every import is seen by this test', () => {
    expect(files.length).toBeGreaterThan(30);
    expect(imports.length).toBeGreaterThan(files.length);
    for (const { from, to } of imports) expect(files, `${from} imports ${to}`).toContain(to);
  });

  test('each imports only what the table allows', () => {
    const wrong = imports.filter(({ from, to, isType }) => {
      const [mine, theirs] = [roomOf(from), roomOf(to)];
      if (mine === theirs || rooms[mine]?.includes(theirs)) return false;
      return !(isType && typesOnly[mine]?.includes(theirs));
    });
    expect(wrong.map(({ from, to }) => `${from} -> ${to}`)).toEqual([]);
  });

  test('no file imports itself by a detour', () => {
    const next = new Map<string, string[]>();
    for (const { from, to, isType } of imports) if (!isType) next.set(from, [...(next.get(from) ?? []), to]);
    const done = new Set<string>();
    const visit = (file: string, trail: string[]): string | null => {
      if (trail.includes(file)) return [...trail.slice(trail.indexOf(file)), file].join(' -> ');
      if (done.has(file)) return null;
      for (const other of next.get(file) ?? []) {
        const cycle = visit(other, [...trail, file]);
        if (cycle) return cycle;
      }
      done.add(file);
      return null;
    };
    expect(files.map((file) => visit(file, [])).filter(Boolean)).toEqual([]);
  });

  test('every file is reached from an entry point', () => {
    const reached = new Set<string>();
    const walk = (file: string) => {
      if (reached.has(file)) return;
      reached.add(file);
      for (const each of imports) if (each.from === file) walk(each.to);
    };
    for (const entry of ['index.ts', path.join('cli', 'main.ts')]) walk(entry);
    // drizzle-kit reads the schema by its path; settle's SQL is tested against the outcomes.
    walk(path.join('database', 'schema.ts'));
    walk(path.join('core', 'outcomes.ts'));
    expect(files.filter((file) => !reached.has(file))).toEqual([]);
  });
});
