import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { describe, expect } from 'vitest';
import { migrateDatabase, readSchemaStatus, requireSchema } from '../../src/database/migrate.ts';
import { test } from '../support/database.ts';

async function wipe(sql: (text: string) => Promise<unknown>) {
  await sql('drop schema skipjack cascade');
}

describe('migrations', () => {
  test('a server refuses a database without the schema and names the command', async ({ database }) => {
    await wipe(database.sql);
    expect(await readSchemaStatus(database.db)).toEqual({ kind: 'missing', version: 0 });
    await expect(requireSchema(database.db)).rejects.toThrow('skipjack migrate');
    await migrateDatabase(database.url);
  });

  test('ten at once apply each migration once', async ({ database }) => {
    await wipe(database.sql);
    const results = await Promise.all(Array.from({ length: 10 }, () => migrateDatabase(database.url)));
    const files = results[0]?.version ?? 0;
    expect(results.reduce((sum, result) => sum + result.applied, 0)).toBe(files);
    expect((await readSchemaStatus(database.db)).kind).toBe('current');
  });

  test('a database that is behind is refused until it is migrated', async ({ database }) => {
    await database.sql(
      'delete from skipjack.migrations where id = (select max(id) from skipjack.migrations)',
    );
    expect(await readSchemaStatus(database.db)).toMatchObject({ kind: 'outdated', pending: 1 });
    await expect(requireSchema(database.db)).rejects.toThrow('older');
  });

  test('a newer schema is accepted exactly when it says that this version still fits', async ({
    database,
  }) => {
    await database.sql(
      `insert into skipjack.migrations (hash, created_at) values ('from the future', 9999999999999)`,
    );
    expect((await readSchemaStatus(database.db)).kind).toBe('newer_but_compatible');
    await requireSchema(database.db);
    await database.sql('update skipjack.compatibility set compatible_from = 1000');
    await expect(requireSchema(database.db)).rejects.toThrow('Upgrade');
  });

  test('a database migrated by another build is refused, not migrated over', async ({ database }) => {
    await database.sql(
      `update skipjack.migrations set hash = 'another' where id = (select min(id) from skipjack.migrations)`,
    );
    await expect(migrateDatabase(database.url)).rejects.toThrow('another build');
  });

  test('the migrations hold everything that the drizzle schema says', async () => {
    const root = path.resolve(import.meta.dirname, '../..');
    // Beside the real one: drizzle-kit takes only a path relative to the checkout.
    const out = mkdtempSync(path.join(root, 'node_modules/.drizzle-'));
    try {
      cpSync(path.join(root, 'drizzle'), out, { recursive: true });
      const before = readdirSync(out);
      const flags = [
        '--dialect',
        'postgresql',
        '--schema',
        './src/database/schema.ts',
        '--out',
        path.relative(root, out),
      ];
      await execa('npx', ['drizzle-kit', 'generate', ...flags], { cwd: root });
      expect(readdirSync(out)).toEqual(before);
    } finally {
      rmSync(out, { recursive: true, force: true });
    }
  });
});
