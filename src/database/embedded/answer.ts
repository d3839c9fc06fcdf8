/** Whether Postgres answers, as the only proof that it runs: a live pid and a pid file are but signs of it. */
import { setTimeout as delay } from 'node:timers/promises';
import { Client, DatabaseError } from 'pg';
import { clusterUser } from './cluster.ts';
import { embeddedFailure } from './failures.ts';
import { isAlive } from './os-process.ts';
import type { Place } from './place.ts';
import type { Postmaster } from './postmaster.ts';

const pollMs = 20;
const connectMsMax = 5_000;

// SQLSTATE
const noSuchDatabase = '3D000';
const databaseExists = ['42P04', '23505'];
const tooManyConnections = '53300';
const wrongPassword = ['28P01', '28000'];

export function urlOf({ port }: Postmaster, password: string, database = clusterUser): string {
  return `postgres://${clusterUser}:${password}@127.0.0.1:${port}/${database}`;
}

/**
 * Waits until the database answers, and makes it where it is missing. False: the postmaster ended meanwhile,
 * as one does that was already stopping.
 */
export async function waitUntilItAnswers(
  place: Place,
  { postmaster, password, waitMs }: { postmaster: Postmaster; password: string; waitMs: number },
): Promise<boolean> {
  const giveUpAt = Date.now() + waitMs;
  for (;;) {
    const error = await connect(urlOf(postmaster, password), async () => {});
    const code = error instanceof DatabaseError ? (error.code ?? '') : '';
    if (error === null || code === tooManyConnections) return true;
    if (wrongPassword.includes(code)) {
      throw embeddedFailure(
        `Postgres does not accept the password in ${place.passwordFile}.`,
        'Put the right one back, move the directory away to start with an empty database',
        error,
      );
    }
    if (!(await isAlive(postmaster.osProcess))) return false;
    if (Date.now() > giveUpAt) {
      const { pid } = postmaster.osProcess;
      throw embeddedFailure(
        `Postgres (pid ${pid}) on ${place.dataDirectory} does not answer.`,
        `Look at it, and stop it if it hangs (kill -QUIT ${pid})`,
        error,
      );
    }
    if (code === noSuchDatabase) await makeDatabase(urlOf(postmaster, password, 'postgres'));
    else await delay(pollMs);
  }
}

async function makeDatabase(url: string): Promise<void> {
  const error = await connect(url, (client) => client.query(`create database ${clusterUser}`));
  const code = error instanceof DatabaseError ? (error.code ?? '') : '';
  // A lost connection is met again, and judged, by the next round of the caller.
  if (error instanceof DatabaseError && !databaseExists.includes(code) && !code.startsWith('57P'))
    throw error;
}

/** Answers what went wrong instead of throwing it. */
async function connect(url: string, work: (client: Client) => Promise<unknown>): Promise<Error | null> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: connectMsMax });
  // Without a listener, an error on an idle connection would end the whole OS process.
  client.on('error', () => undefined);
  try {
    await client.connect();
    await work(client);
    return null;
  } catch (error) {
    return error as Error;
  } finally {
    await client.end().catch(() => undefined);
  }
}
