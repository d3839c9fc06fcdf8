import type { Logger } from 'pino';
import type { LogLine } from '../../core/task-source.ts';

type Say = (text: string, stream: LogLine['stream']) => void;

/** Where pino writes to; with what it tells streams that ask for it (`Symbol.for('pino.metadata')`). */
interface Destination {
  lastLevel?: number;
  write(json: string): void;
  flush?(callback: (error?: Error) => void): void;
  flushSync?(): void;
}

const info = 30;
const warn = 40;

/**
 * A child of the worker's log whose messages, of level `info` and above, are said in the task's log too: as pino has
 * made them, so that what the worker's log redacts is not in the task's either.
 *
 * The worker's log gets what it would get without us; when it leaves `info` out, the task's log has it all the same.
 */
export function taskLogger(log: Logger, bindings: Record<string, unknown>, say: Say): Logger {
  const stream = streamSymbolOf(log);
  const isTerse = log.levelVal > info && log.levels.values.info !== undefined;
  const child = log.child(bindings, isTerse && stream !== undefined ? { level: 'info' } : {});
  if (stream === undefined) return child;
  const holder = child as unknown as Record<symbol, Destination>;
  const worker = holder[stream] as Destination;
  const known = child.bindings();
  const both: Destination & Record<symbol, unknown> = {
    [metadata]: true,
    write(json) {
      const { lastLevel = info } = both;
      if (lastLevel >= info) say(toLine(json, known), lastLevel >= warn ? 'stderr' : 'stdout');
      if (isTerse && lastLevel < log.levelVal) return;
      if (metadata in worker) Object.assign(worker, pickMetadata(both));
      worker.write(json);
    },
    flush(callback) {
      if (worker.flush) worker.flush(callback);
      else callback();
    },
    flushSync: () => worker.flushSync?.(),
  };
  holder[stream] = both;
  return child;
}

const metadata = Symbol.for('pino.metadata');

function pickMetadata(from: object): object {
  return Object.fromEntries(Object.entries(from).filter(([key]) => key.startsWith('last')));
}

/** Found by its name: a log may come from another copy of pino than ours, whose symbol is another. */
function streamSymbolOf(log: object): symbol | undefined {
  for (let owner = log; owner !== null; owner = Object.getPrototypeOf(owner)) {
    const found = Object.getOwnPropertySymbols(owner).find(
      ({ description }) => description === 'pino.stream',
    );
    if (found !== undefined) return found;
  }
  return undefined;
}

/** In each line of a worker's log, and of no news in that of one task. */
const ofEveryLine = new Set(['level', 'time', 'pid', 'hostname', 'msg']);

/** `message {"other":"fields"}` of one line of pino's JSON. */
function toLine(json: string, known: Record<string, unknown>): string {
  let line: Record<string, unknown>;
  try {
    line = JSON.parse(json);
  } catch {
    // Made by somebody's own formatter.
    return json.trimEnd();
  }
  const fields = Object.entries(line).filter(
    ([key, value]) => !ofEveryLine.has(key) && JSON.stringify(value) !== JSON.stringify(known[key]),
  );
  const message = line.msg === undefined ? [] : [String(line.msg)];
  const rest = fields.length === 0 ? [] : [JSON.stringify(Object.fromEntries(fields))];
  return [...message, ...rest].join(' ');
}
