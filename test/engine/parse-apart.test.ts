/** Large definitions, checked in a thread: as it is built, for from the sources there is none. */
import path from 'node:path';
import { expect, test, vi } from 'vitest';

const source = `tasks:\n${Array.from({ length: 1_000 }, (_, at) => `  - { name: t${at} }\n`).join('')}`;

test('one that comes while the idle thread is ending gets another thread', async () => {
  const { parseApart } = await import(path.resolve(import.meta.dirname, '../../dist/engine/parse-apart.js'));
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    expect(await parseApart(source)).toMatchObject({ kind: 'valid' });
    vi.advanceTimersByTime(60_000);
    expect(await parseApart(source)).toMatchObject({ kind: 'valid' });
  } finally {
    vi.useRealTimers();
  }
});
