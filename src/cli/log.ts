/**
 * The log of the long-running commands, on stderr: JSON lines, or readable ones on a terminal.
 *
 * Errors are written as type, code, message and stack, never whole: one of Postgres carries the row it refused.
 */
import { type Logger, pino } from 'pino';
import PinoPretty, { prettyFactory } from 'pino-pretty';
import type { Config } from '../config.ts';

const causesMax = 5;

const readable = { singleLine: true, ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss' };

export function createLog(level: Config['logLevel']): Logger {
  // Synchronous: the last line before an exit is the one that matters.
  const sync = true;
  const stream = process.stderr.isTTY
    ? PinoPretty({ destination: 2, sync, ...readable })
    : pino.destination({ dest: 2, sync });
  // Whoever read the log is gone; that is no reason to stop working.
  stream.on('error', () => {});
  return pino(optionsFor(level), stream);
}

/** The same for a command that draws on the terminal: it says where a line goes. */
export function createLogAbove(level: Config['logLevel'], say: (line: string) => void): Logger {
  const toLine = prettyFactory({ ...readable, colorize: false });
  return pino(optionsFor(level), { write: (json: string) => say(toLine(json).trimEnd()) });
}

function optionsFor(level: Config['logLevel']) {
  return { level, serializers: { err: serializeError, error: serializeError } };
}

export function serializeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return error;
  const { name, message, stack, cause } = error;
  const { code } = error as { code?: unknown };
  return {
    type: name,
    ...(typeof code === 'string' ? { code } : {}),
    message,
    stack,
    ...(cause instanceof Error && depth < causesMax ? { cause: serializeError(cause, depth + 1) } : {}),
  };
}
