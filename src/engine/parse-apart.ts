/**
 * Large definitions are checked in a thread of their own: two megabytes take seconds, in which an OS process would answer
 * nobody, nor extend a lease. One at a time, so that at most one core is kept busy; small ones are checked where they
 * are, and wait for none of these.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { SkipjackError } from '../core/errors.ts';
import { type ParsedDefinition, parseDefinition } from '../definition/parse-definition.ts';
import type { ParseAnswer } from './parse-thread.ts';

/** 15 KB of tasks with conditions took 130 ms of a loaded core (measured). */
const lettersMin = 4 * 1024;
const waitingMax = 20;
/** After which the thread ends that has nothing to do. */
const idleMs = 10_000;

/** Not there where we are bundled, or run from the sources: then everything is checked where it is. */
const script = new URL('./parse-thread.js', import.meta.url);
const isThere = script.protocol === 'file:' && existsSync(fileURLToPath(script));

interface Waiting {
  source: string;
  resolve: (parsed: ParsedDefinition) => void;
  reject: (error: unknown) => void;
}

const waiting: Waiting[] = [];
let current: Waiting | null = null;
let thread: Worker | null = null;
let idle: NodeJS.Timeout | undefined;

/** @throws SkipjackError `overloaded`: many others are being checked. */
export async function parseApart(source: string): Promise<ParsedDefinition> {
  if (!isThere || source.length < lettersMin) return parseDefinition(source);
  if (waiting.length >= waitingMax)
    throw new SkipjackError('overloaded', 'Many large definitions wait to be checked. Try again in a while.');
  return new Promise((resolve, reject) => {
    waiting.push({ source, resolve, reject });
    takeNext();
  });
}

function takeNext(): void {
  if (current !== null) return;
  current = waiting.shift() ?? null;
  if (current === null) {
    // It keeps no program from ending.
    thread?.unref();
    idle = setTimeout(endThread, idleMs).unref();
    return;
  }
  clearTimeout(idle);
  thread ??= startThread();
  thread.ref();
  thread.postMessage(current.source);
}

/** Who comes while it is ending gets another one. */
function endThread(): void {
  const ended = thread;
  thread = null;
  void ended?.terminate();
}

function startThread(): Worker {
  const started = new Worker(script);
  started.on('message', (answer: ParseAnswer) => {
    const asked = current;
    current = null;
    if ('parsed' in answer) asked?.resolve(answer.parsed);
    else asked?.reject(answer.thrown);
    takeNext();
  });
  // It ran out of memory: its text is refused, and the next one gets another thread.
  started.on('error', (error) => end(started, error));
  started.on('exit', () => end(started, new Error('the thread that checks definitions ended')));
  return started;
}

function end(ended: Worker, error: Error): void {
  if (thread !== ended) return;
  thread = null;
  const asked = current;
  current = null;
  asked?.reject(error);
  takeNext();
}
