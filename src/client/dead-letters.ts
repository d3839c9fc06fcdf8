import { type CallOptions, type Calls, part } from './calls.ts';
import type { DeadLetter, DeadLetterFilter, DeadLetterSummary, Page, Task } from './views.ts';

export interface DeadLetterClient {
  listDeadLetters(
    filter?: DeadLetterFilter & { replayed?: boolean | undefined },
    page?: Page & CallOptions,
  ): Promise<{ dead_letters: DeadLetterSummary[]; next_cursor: string | null }>;
  getDeadLetter(id: string, options?: CallOptions): Promise<DeadLetter>;
  /** Puts it back on its queue with a new budget of attempts; of a process's task, retries the process. */
  replayDeadLetter(id: string, options?: CallOptions): Promise<Task>;
  /** Up to `limit` (1,000) at once, oldest first; answers the ids. `dryRun` only says which. */
  replayDeadLetters(
    filter?: DeadLetterFilter,
    options?: CallOptions & { limit?: number; dryRun?: boolean },
  ): Promise<string[]>;
  deleteDeadLetter(id: string, options?: CallOptions): Promise<void>;
}

export function createDeadLetterClient(calls: Calls): DeadLetterClient {
  return {
    listDeadLetters: (filter = {}, { signal, ...page } = {}) =>
      calls.get('/v1/dead-letters', { ...toWire(filter), ...page }, { signal }),
    getDeadLetter: (id, options) => calls.get(letterPath(id), {}, options),
    replayDeadLetter: (id, options) => calls.post(`${letterPath(id)}/replay`, undefined, options),
    async replayDeadLetters(filter = {}, { limit, dryRun, signal } = {}) {
      const body = { ...toWire(filter), limit, dry_run: dryRun };
      return (await calls.post<{ ids: string[] }>('/v1/dead-letters/replay', body, { signal })).ids;
    },
    deleteDeadLetter: (id, options) => calls.delete(letterPath(id), options),
  };
}

function toWire<Filter extends DeadLetterFilter>({ failedAfter, failedBefore, ...filter }: Filter) {
  return { ...filter, failed_after: failedAfter, failed_before: failedBefore };
}

function letterPath(id: string): string {
  return `/v1/dead-letters/${part(id)}`;
}
