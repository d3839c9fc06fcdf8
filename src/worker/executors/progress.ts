import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { findJsonProblem, type Json } from '../../core/json.ts';
import { progressBytesMax } from '../../core/task-source.ts';
import type { ExecutionContext } from './executor.ts';

/**
 * What a program says of how far it is: a number, which is per cent, or other small JSON, in the file
 * `$SKIPJACK_PROGRESS`. The file is looked at once a second, and read when it has changed.
 */

const lookMs = 1_000;

/** Looks from now on; returns what ends it. */
export function watchProgress(
  { progressPath, ownerUid }: { progressPath: string; ownerUid: number | null },
  { progress, log, mask }: Pick<ExecutionContext, 'progress' | 'log' | 'mask'>,
): () => void {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let seen = '';
  let doubted = '';
  let complained = false;
  const look = async () => {
    const version = await versionOf(progressPath);
    if (version !== seen && version !== '') {
      const read = await readProgress(progressPath, ownerUid);
      if (stopped) return;
      if (read.ok) {
        seen = version;
        if (read.value !== undefined) progress(mask.json(read.value));
      } else if (version !== doubted) {
        // It may be half written: said only of what stays so.
        doubted = version;
      } else {
        seen = version;
        if (!complained) log.say(`$SKIPJACK_PROGRESS is ignored: ${read.why}`, { stream: 'skipjack' });
        complained = true;
      }
    }
    if (!stopped) timer = setTimeout(look, lookMs);
  };
  timer = setTimeout(look, lookMs);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

/** Changes with the file; empty when there is none. */
async function versionOf(path: string): Promise<string> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found === undefined ? '' : `${found.ino} ${found.size} ${found.mtimeNs}`;
}

type Read = { ok: true; value: Json | undefined } | { ok: false; why: string };

async function readProgress(path: string, ownerUid: number | null): Promise<Read> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    return { ok: false, why: `it cannot be read (${(error as NodeJS.ErrnoException).code})` };
  }
  try {
    const found = await file.stat();
    if (!found.isFile()) return { ok: false, why: 'it is not a regular file' };
    if (ownerUid !== null && found.uid !== ownerUid) return { ok: false, why: 'it belongs to another user' };
    const bytes = Buffer.alloc(progressBytesMax + 1);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    if (bytesRead > progressBytesMax)
      return { ok: false, why: `it is longer than ${progressBytesMax} bytes` };
    return parse(bytes.toString('utf8', 0, bytesRead).trim());
  } catch (error) {
    return { ok: false, why: `it cannot be read (${(error as NodeJS.ErrnoException).code})` };
  } finally {
    await file.close();
  }
}

function parse(text: string): Read {
  if (text === '') return { ok: true, value: undefined };
  try {
    const value = JSON.parse(text) as Json;
    const problem = findJsonProblem(value);
    return problem ? { ok: false, why: `it has ${problem.message}` } : { ok: true, value };
  } catch {
    return { ok: false, why: 'it holds neither a number nor JSON' };
  }
}
