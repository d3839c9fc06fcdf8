import { constants, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readStat } from '../executors/processes/stat.ts';
import { readPlace, readStartTime } from '../place.ts';

/** Whose an attempt's folder is, and what runs for it: written into the folder for a later worker to read. */
const ownerSchema = z.object({
  place: z.string(),
  /** The worker's OS process. */
  pid: z.int().positive(),
  startTime: z.int().nullable(),
  task: z.string(),
  /** The process group that the attempt's program leads; null: none does. 1 would be everybody's. */
  group: z.int().min(2).nullable(),
  /** Of the group's leader: numbers of groups are given again. */
  groupStartTime: z.int().nullable(),
});

export type Owner = z.infer<typeof ownerSchema>;

const fileName = 'owner.json';
const fileBytesMax = 4_096;

let ownStartTime: number | null | undefined;

/**
 * Says in `folder` that it is this OS process's, and that `group` runs for it.
 *
 * Once, and synchronously: right after the group was started there is nothing to wait for, and a worker that is killed
 * before has left a folder that is taken by its age.
 */
export function writeOwner(folder: string, { task, group }: Pick<Owner, 'task' | 'group'>): void {
  ownStartTime ??= readStartTime(process.pid);
  const owner: Owner = {
    place: readPlace(),
    pid: process.pid,
    startTime: ownStartTime,
    task,
    group,
    groupStartTime: group === null ? null : (readStat(group)?.startTime ?? null),
  };
  try {
    writeFileSync(join(folder, fileName), JSON.stringify(owner), { mode: 0o600, flag: 'wx' });
  } catch {
    // No room, or the program was there first: no reason to end it.
  }
}

/** Null: nobody has said, or it was not one of us. */
export async function readOwner(folder: string): Promise<Owner | null> {
  let file: Awaited<ReturnType<typeof open>> | undefined;
  try {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    file = await open(join(folder, fileName), flags);
    const found = await file.stat();
    if (!found.isFile() || found.uid !== process.geteuid?.() || found.size > fileBytesMax) return null;
    return ownerSchema.parse(JSON.parse(await file.readFile('utf8')));
  } catch {
    return null;
  } finally {
    await file?.close();
  }
}
