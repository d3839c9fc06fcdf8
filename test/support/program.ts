/** The built command line as a real OS process. `npm test` builds first. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { onTestFinished } from 'vitest';

const main = path.resolve(import.meta.dirname, '../../dist/cli/main.js');

export interface Program {
  child: ChildProcess;
  pid: number;
  /** Everything it said on stderr so far. */
  stderr: () => string;
  /** Resolves with the first line of stderr that contains `text`; rejects when it ends without. */
  untilSays: (text: string) => Promise<string>;
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  kill: (signal: NodeJS.Signals) => Promise<void>;
}

/** Starts `skipjack …`; killed when the test is over. Its environment holds nothing of ours but what is given. */
export function startProgram(
  args: string[],
  env: Record<string, string> = {},
  { cwd = process.cwd() }: { cwd?: string } = {},
): Program {
  if (!existsSync(main)) throw new Error('dist/ is missing: run "npm run build"');
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(process.execPath, [main, ...args], {
    cwd,
    env: { PATH, HOME, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  const listeners = new Set<() => void>();
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk;
    for (const listener of listeners) listener();
  });
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
    // What it said last is read by then, unless one that it started holds its stderr open.
    child.once('exit', (code, signal) => setTimeout(() => resolve({ code, signal }), 2_000).unref());
  });
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  return {
    child,
    pid: child.pid ?? 0,
    stderr: () => said,
    exited,
    async kill(signal) {
      child.kill(signal);
      await exited;
    },
    untilSays(text) {
      return new Promise((resolve, reject) => {
        const look = () => {
          const line = said.split('\n').find((each) => each.includes(text));
          if (line === undefined) return;
          listeners.delete(look);
          resolve(line);
        };
        listeners.add(look);
        look();
        void exited.then(() => reject(new Error(`ended without saying "${text}":\n${said}`)));
      });
    },
  };
}

/**
 * Freezes an OS process that has its connections under this name (`application_name` in its URL), and resolves when
 * Postgres has nothing left to do for it: what is there now stays, until it goes on.
 */
export async function freeze(
  child: ChildProcess,
  { sql, application }: { sql: (text: string, values: unknown[]) => Promise<unknown[]>; application: string },
): Promise<void> {
  child.kill('SIGSTOP');
  await until('its statements have come to pass', async () => {
    const active = await sql(
      `select from pg_stat_activity where datname = current_database() and application_name = $1 and state = 'active'`,
      [application],
    );
    return active.length === 0;
  });
}

/** Asks again and again until the answer is `true`; says what it waited for when it never is. */
export async function until(what: string, isSo: () => Promise<boolean>, ms = 60_000): Promise<void> {
  for (const end = performance.now() + ms; performance.now() < end; ) {
    if (await isSo()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`waited ${ms} ms in vain until ${what}`);
}
