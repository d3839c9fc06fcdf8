/** What people read when the embedded Postgres cannot be had: what happened, and what to do about it. */
import { SkipjackError } from '../../core/errors.ts';

const otherDatabase = 'or set DATABASE_URL to a Postgres of your own';

/** `advice` is a clause without its full stop; the other way out, DATABASE_URL, is added to it. */
export function embeddedFailure(what: string, advice: string, cause?: unknown): SkipjackError {
  return new SkipjackError('database_unreachable', `${what} ${advice}, ${otherDatabase}.`, { cause });
}

const adviceByCode: Record<string, string> = {
  EACCES: 'This user may not read or write there: choose another --data directory',
  EPERM: 'This user may not do that there: choose another --data directory',
  EROFS: 'That file system is read-only: choose another --data directory',
  ENOSPC: 'The disk is full: make room',
  EDQUOT: "This user's disk quota is used up: make room",
  ENOTDIR: 'A part of that path is a file: choose another --data directory',
  EEXIST: 'A file is where a directory should be: choose another --data directory',
};

/** Turns whatever was thrown on the way to a Postgres in `directory` into a sentence with advice. */
export function explainFailure(error: unknown, directory: string): SkipjackError {
  if (error instanceof SkipjackError) return error;
  const { code = '', message } = error as NodeJS.ErrnoException;
  return embeddedFailure(
    `The embedded Postgres in ${directory} cannot be used: ${message}.`,
    adviceByCode[code] ?? `See ${directory}/postgres.log`,
    error,
  );
}

/** Answers undefined where `path` is not there; every other error goes on. */
export async function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
