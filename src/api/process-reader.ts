/** Reads whole processes for all requests of this server: those that ask in the same moment share one query. */
import { createBatcher } from '../core/batching.ts';
import type { Database } from '../database/connection.ts';
import { type ProcessView, readProcesses } from '../engine/read-processes.ts';
import { noSuchProcess } from '../engine/refusals.ts';

/** Each may come with a megabyte of input and two of output. */
const processesPerQueryMax = 20;

export interface ProcessReader {
  /** @throws SkipjackError `not_found`. */
  read(id: string): Promise<ProcessView>;
}

export function createProcessReader(db: Database): ProcessReader {
  const reads = createBatcher({
    flush: (ids: string[]) => readProcesses(db, ids),
    itemsMax: processesPerQueryMax,
    lanes: 3,
  });
  return {
    async read(id) {
      const process = await reads.add(id);
      if (!process) throw noSuchProcess(id);
      return process;
    },
  };
}
