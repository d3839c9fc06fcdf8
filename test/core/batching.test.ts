import { describe, expect, test } from 'vitest';
import { createBatcher } from '../../src/core/batching.ts';

/** A promise to open from outside. */
function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

describe('natural batching', () => {
  test('a lone call goes at once; those that come meanwhile go together next', async () => {
    const batches: number[][] = [];
    const first = gate();
    const batcher = createBatcher({
      async flush(items: number[]) {
        batches.push(items);
        if (batches.length === 1) await first.opened;
        return items.map((item) => item * 2);
      },
    });
    const one = batcher.add(1);
    await Promise.resolve();
    const rest = [2, 3, 4].map((item) => batcher.add(item));
    first.open();
    expect(await Promise.all([one, ...rest])).toEqual([2, 4, 6, 8]);
    expect(batches).toEqual([[1], [2, 3, 4]]);
  });

  test('calls of the same turn go together', async () => {
    const sizes: number[] = [];
    const batcher = createBatcher({
      async flush(items: number[]) {
        sizes.push(items.length);
        return items;
      },
    });
    await Promise.all(Array.from({ length: 500 }, (_, index) => batcher.add(index)));
    expect(sizes).toEqual([500]);
  });

  test('a batch stays within its bounds in items and bytes; one item that is too large goes alone', async () => {
    const batches: number[][] = [];
    const batcher = createBatcher({
      itemsMax: 3,
      bytesMax: 10,
      sizeOf: (item: number) => item,
      async flush(items) {
        batches.push(items);
        return items;
      },
    });
    await Promise.all([1, 1, 1, 1, 50, 6, 6].map((item) => batcher.add(item)));
    expect(batches).toEqual([[1, 1, 1], [1], [50], [6], [6]]);
  });

  test('an item whose size cannot be told fails alone; what comes after it is served', async () => {
    const batcher = createBatcher({
      sizeOf: (item: unknown) => JSON.stringify(item).length,
      async flush(items) {
        return items;
      },
    });
    const circle: { self?: unknown } = {};
    circle.self = circle;
    const results = await Promise.allSettled(
      ['before', circle, 7n, 'beside'].map((item) => batcher.add(item)),
    );
    expect(results.map((result) => result.status)).toEqual([
      'fulfilled',
      'rejected',
      'rejected',
      'fulfilled',
    ]);
    expect(await batcher.add('after')).toBe('after');
    await batcher.idle();
  });

  test('each size is asked for once, however long the line', async () => {
    let asked = 0;
    const batcher = createBatcher({
      itemsMax: 10,
      sizeOf: () => {
        asked += 1;
        return 1;
      },
      async flush(items: number[]) {
        return items;
      },
    });
    await Promise.all(Array.from({ length: 100 }, (_, index) => batcher.add(index)));
    expect(asked).toBe(100);
  });

  test('one bad item among many fails alone', async () => {
    const batcher = createBatcher({
      async flush(items: number[]) {
        if (items.includes(13)) throw new Error('bad row');
        return items;
      },
      classify: () => 'bisect',
    });
    const results = await Promise.allSettled(Array.from({ length: 100 }, (_, index) => batcher.add(index)));
    expect(results.flatMap((result, index) => (result.status === 'rejected' ? [index] : []))).toEqual([13]);
  });

  test('what is to be repeated is repeated whole, until it goes', async () => {
    let flushes = 0;
    const batcher = createBatcher({
      async flush(items: number[]) {
        flushes += 1;
        if (flushes < 4) throw new Error('not yet');
        return items;
      },
      classify: () => 'repeat',
    });
    expect(await Promise.all([batcher.add(1), batcher.add(2)])).toEqual([1, 2]);
    expect(flushes).toBe(4);
  });

  test('past the bound a call is refused, and those before it are served', async () => {
    const held = gate();
    const batcher = createBatcher({
      waitingMax: 2,
      async flush(items: number[]) {
        await held.opened;
        return items;
      },
    });
    const running = batcher.add(0);
    await Promise.resolve();
    const waiting = [batcher.add(1), batcher.add(2)];
    await expect(batcher.add(3)).rejects.toMatchObject({ code: 'overloaded' });
    held.open();
    expect(await Promise.all([running, ...waiting])).toEqual([0, 1, 2]);
  });

  test('idle resolves when the last flush has ended', async () => {
    const held = gate();
    let done = false;
    const batcher = createBatcher({
      async flush(items: number[]) {
        await held.opened;
        done = true;
        return items;
      },
    });
    void batcher.add(1);
    const idle = batcher.idle();
    held.open();
    await idle;
    expect(done).toBe(true);
    await batcher.idle();
  });
});
