/** A server and workers as OS processes over one database, and a folder that goes with the test. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { type Client, createClient } from '../../../src/client/client.ts';
import type { TestDatabase } from '../../support/database.ts';
import { freePort } from '../../support/postgres.ts';
import { type Program, startProgram } from '../../support/program.ts';

/** Whoever a container runs as may write into it. */
export function makeFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'skipjack-scenario-'));
  chmodSync(folder, 0o777);
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function makeSubfolder(folder: string, name: string): string {
  const made = path.join(folder, name);
  mkdirSync(made);
  chmodSync(made, 0o777);
  return made;
}

export interface Server {
  url: string;
  client: Client;
  program: Program;
  /** SIGKILL, and another one at the same address. */
  restart(): Promise<void>;
  stderr(): string;
}

export async function startServer(databaseUrl: string): Promise<Server> {
  const start = (port: string) =>
    startProgram(['server'], { DATABASE_URL: databaseUrl, SKIPJACK_PORT: port });
  // No port that the system gives out: while the server is away it would be anybody's.
  const programs = [start(String(await freePort()))];
  const latest = () => programs.at(-1) as Program;
  const { url } = JSON.parse(await latest().untilSays('ready')) as { url: string };
  return {
    url,
    client: createClient({ url }),
    get program() {
      return latest();
    },
    async restart() {
      await latest().kill('SIGKILL');
      programs.push(start(new URL(url).port));
      await latest().untilSays('ready');
    },
    stderr: () => programs.map((program) => program.stderr()).join(''),
  };
}

export async function startWorker(args: string[], env: Record<string, string>): Promise<Program> {
  const worker = startProgram(['worker', ...args], env);
  await worker.untilSays('worker started');
  return worker;
}

/** Which database's tasks they are: what containers, volumes and networks are labelled with. */
export async function instanceOf({ sql }: Pick<TestDatabase, 'sql'>): Promise<string> {
  const [row] = await sql<{ instance_id: string }>('select instance_id from skipjack.compatibility');
  return row?.instance_id ?? '';
}
