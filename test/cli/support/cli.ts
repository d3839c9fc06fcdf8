/** The built command line as OS processes of its own; every one is gone after its test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, vi } from 'vitest';

// A bound for what hangs, not a promise of speed: a test runs up to fifteen commands, and each may take seconds to start.
vi.setConfig({ testTimeout: 120_000 });

const main = join(import.meta.dirname, '../../../dist/cli/main.js');

/** Where nothing holds up the end but the machine: a long grace lengthens what it may take, the shutdown of Postgres included. */
export const unhurried = { SKIPJACK_GRACE: '20s' };

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

interface Options {
  env?: Record<string, string>;
  cwd?: string;
}

const children: ChildProcess[] = [];

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
});

/** Nothing of the environment that tests run in but what finding programs takes. */
function start(args: string[], { env = {}, cwd = '/tmp' }: Options): ChildProcess {
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(process.execPath, [main, ...args], { cwd, env: { PATH, HOME, ...env } });
  children.push(child);
  return child;
}

/** Runs a command to its end. */
export async function skipjack(
  args: string[],
  { input = '', ...options }: Options & { input?: string } = {},
): Promise<Ended> {
  const child = start(args, options);
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  child.stdin?.end(input);
  const [code] = await once(child, 'close');
  return { code, stdout, stderr };
}

export type LogLine = Record<string, unknown> & { msg: string };

/** A command that runs until it is told to stop. */
export interface Running {
  child: ChildProcess;
  /** Resolves with the first line of the log, also one already written, that fits; rejects when it ends before. */
  untilLogged(fits: (line: LogLine) => boolean): Promise<LogLine>;
  /** Sends the signal and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
  ended: Promise<number | null>;
  /** Resolves with the first line on stderr, also one already written, in which it is found. */
  untilSaid(pattern: RegExp): Promise<string>;
  /** Everything on stderr so far. */
  readonly stderr: string;
  /** Everything on stdout so far. */
  readonly stdout: string;
}

export function startSkipjack(args: string[], options: Options = {}): Running {
  const child = start(args, options);
  const lines: LogLine[] = [];
  const texts: string[] = [];
  const watchers = new Set<() => void>();
  const wakeAll = () => {
    for (const wake of watchers) wake();
    watchers.clear();
  };
  createInterface({ input: child.stderr as NodeJS.ReadableStream }).on('line', (text) => {
    texts.push(text);
    if (text.startsWith('{')) lines.push(JSON.parse(text));
    wakeAll();
  });
  let stdout = '';
  child.stdout?.on('data', (chunk) => {
    stdout += chunk;
  });
  let isOver = false;
  const ended = once(child, 'close').then(([code]) => {
    isOver = true;
    wakeAll();
    return code as number | null;
  });
  async function untilFound<Item>(items: Item[], fits: (item: Item) => boolean): Promise<Item> {
    let seen = 0;
    for (;;) {
      const found = items.slice(seen).find(fits);
      if (found !== undefined) return found;
      seen = items.length;
      if (isOver) throw new Error(`ended without that line:\n${texts.join('\n')}`);
      await new Promise<void>((resolve) => watchers.add(resolve));
    }
  }

  return {
    child,
    ended,
    get stderr() {
      return texts.join('\n');
    },
    get stdout() {
      return stdout;
    },
    untilLogged: (fits) => untilFound(lines, fits),
    untilSaid: (pattern) => untilFound(texts, (text) => pattern.test(text)),
    stop(signal = 'SIGTERM') {
      child.kill(signal);
      return ended;
    },
  };
}

/** The URL of a `dev` or `server` that has said that it is ready. */
export async function urlOf(running: Running): Promise<string> {
  const { url } = await running.untilLogged((line) => line.msg.startsWith('ready'));
  return String(url);
}
