/**
 * One Postgres for the whole run, and in it one migrated template database, copied for each test.
 *
 *   SKIPJACK_TEST_POSTGRES=18            the embedded one (default)
 *   SKIPJACK_TEST_POSTGRES=15            Debian's, from /usr/lib/postgresql/15
 *   SKIPJACK_TEST_POSTGRES=16 (17, …)    an image, through @testcontainers/postgresql, where a Docker has it
 *   SKIPJACK_TEST_DATABASE_URL=…         yours; its user must be allowed to create databases
 */
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { migrateDatabase } from '../../src/database/migrate.ts';
import { startPostgres } from './postgres.ts';

declare module 'vitest' {
  interface ProvidedContext {
    adminUrl: string;
    /** How a database is made: a copy of the template. */
    copying: string;
  }
}

export default async function setup(project: TestProject) {
  const server = await startPostgres();
  const templateName = `skipjack_template_${process.pid}`;
  const admin = new pg.Client({ connectionString: server.url });
  await admin.connect();
  const { rows } = await admin.query('show server_version');
  console.log(`Postgres ${rows[0].server_version}, ${server.kind}`);
  await admin.query(`drop database if exists ${templateName} with (force)`);
  await admin.query(`create database ${templateName}`);
  await migrateDatabase(databaseUrl(server.url, templateName));
  project.provide('adminUrl', server.url);
  // In memory 20 or 32 ms; from a disk files are the slower way, up to 250 ms.
  const strategy = server.isInMemory ? 'file_copy' : 'wal_log';
  project.provide('copying', `template ${templateName} strategy ${strategy}`);

  return async () => {
    await admin.query(`drop database if exists ${templateName} with (force)`).catch(() => {});
    await admin.end();
    await server.stop();
  };
}

export function databaseUrl(adminUrl: string, name: string): string {
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  return url.href;
}
