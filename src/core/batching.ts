/**
 * Natural batching: if no flush is running, flush now; while one runs, callers gather for the next.
 *
 * No timer: a lone call pays one round trip, and batches grow by themselves under load. Calls made in the same
 * turn of the event loop go together. A caller's promise settles only after the flush that holds its item.
 * What waits is bounded; past the bound a call is refused with `overloaded` rather than queued for ever.
 */
import { SkipjackError } from './errors.ts';

export interface BatcherOptions<Item, Result> {
  /** Handles all items; results in their order. */
  flush: (items: Item[]) => Promise<Result[]>;
  /** Items in one flush at most. */
  itemsMax?: number;
  /** Bytes in one flush at most, by `sizeOf`; one larger item goes alone. */
  bytesMax?: number;
  /** Called once an item; what it throws is that item's answer. */
  sizeOf?: (item: Item) => number;
  /** Flushes at the same time. */
  lanes?: number;
  /** Items waiting at most. */
  waitingMax?: number;
  /**
   * What a failed flush means: `bisect`: one item is bad, find it and fail it alone; `repeat`: the same again;
   * `fail`: everybody gets the error. `elapsedMs` is since the first of these tries began.
   */
  classify?: (error: unknown, tries: number, elapsedMs: number) => 'bisect' | 'repeat' | 'fail';
  /** Called before flush number `tries` + 1 of the same items. */
  beforeRepeat?: (error: unknown, tries: number) => Promise<void> | void;
}

export interface Batcher<Item, Result> {
  add(item: Item): Promise<Result>;
  /** Resolves when nothing waits and nothing runs. */
  idle(): Promise<void>;
  readonly waiting: number;
}

interface Entry<Item, Result> {
  item: Item;
  bytes: number;
  resolve: (result: Result) => void;
  reject: (error: unknown) => void;
}

export function createBatcher<Item, Result>(options: BatcherOptions<Item, Result>): Batcher<Item, Result> {
  const { flush, itemsMax = 1_000, bytesMax = 8 * 1024 * 1024, sizeOf = () => 0 } = options;
  const { lanes = 1, waitingMax = 20_000, classify = () => 'fail', beforeRepeat } = options;
  let waiting: Entry<Item, Result>[] = [];
  let running = 0;
  let scheduled = false;
  const idleWaiters: (() => void)[] = [];

  function takeBatch(): Entry<Item, Result>[] {
    let sum = 0;
    let count = 0;
    for (const { bytes } of waiting) {
      sum += bytes;
      if (count > 0 && (count === itemsMax || sum > bytesMax)) break;
      count += 1;
    }
    const batch = waiting.slice(0, count);
    waiting = waiting.slice(count);
    return batch;
  }

  function startFlushes() {
    scheduled = false;
    while (running < lanes && waiting.length > 0) {
      running += 1;
      void flushAll(takeBatch()).finally(() => {
        running -= 1;
        startFlushes();
        if (running === 0 && waiting.length === 0) {
          for (const wake of idleWaiters.splice(0)) wake();
        }
      });
    }
  }

  /** Never rejects: every entry is settled. */
  async function flushAll(batch: Entry<Item, Result>[]): Promise<void> {
    const beganMs = performance.now();
    for (let tries = 1; ; tries += 1) {
      try {
        const results = await flush(batch.map((entry) => entry.item));
        for (const [index, entry] of batch.entries()) entry.resolve(results[index] as Result);
        return;
      } catch (error) {
        const verdict = classify(error, tries, performance.now() - beganMs);
        if (verdict === 'repeat') {
          await beforeRepeat?.(error, tries);
          continue;
        }
        if (verdict === 'bisect' && batch.length > 1) {
          const middle = Math.ceil(batch.length / 2);
          await flushAll(batch.slice(0, middle));
          await flushAll(batch.slice(middle));
          return;
        }
        for (const entry of batch) entry.reject(error);
        return;
      }
    }
  }

  return {
    add(item) {
      if (waiting.length >= waitingMax) {
        return Promise.reject(
          new SkipjackError('overloaded', 'Too many calls wait for the database. Try again in a second.'),
        );
      }
      return new Promise((resolve, reject) => {
        // A value without a size (a circle, a BigInt) throws here, where only its own caller is hit.
        waiting.push({ item, bytes: sizeOf(item), resolve, reject });
        if (!scheduled && running < lanes) {
          scheduled = true;
          queueMicrotask(startFlushes);
        }
      });
    },
    idle() {
      if (running === 0 && waiting.length === 0) return Promise.resolve();
      return new Promise((resolve) => idleWaiters.push(resolve));
    },
    get waiting() {
      return waiting.length;
    },
  };
}
