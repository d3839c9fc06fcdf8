/** The log of Postgres, `postgres.log` in the `--data` directory; the one before it is kept when it grew large. */
import { constants } from 'node:fs';
import { type FileHandle, open, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { unlessMissing } from './failures.ts';

const logBytesMax = 10 * 1024 * 1024;
const tailBytesMax = 64 * 1024;

export function logFileIn(directory: string): string {
  return join(directory, 'postgres.log');
}

/** Opened by us, so that Postgres' user needs no right to the directory. */
export async function openLog(directory: string): Promise<FileHandle> {
  const path = logFileIn(directory);
  const bytes = (await unlessMissing(stat(path)))?.size ?? 0;
  if (bytes > logBytesMax) await rename(path, `${path}.1`);
  // No following of links: root may have been pointed at somebody else's directory.
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_RDWR } = constants;
  return open(path, O_APPEND | O_CREAT | O_NOFOLLOW | O_RDWR, 0o600);
}

/** What was written since byte `from`, of a long text its beginning, where the cause stands. */
export async function readLog(log: FileHandle, from: number): Promise<string> {
  const { buffer, bytesRead } = await log.read(Buffer.alloc(tailBytesMax), 0, tailBytesMax, from);
  return buffer.subarray(0, bytesRead).toString('utf8');
}
