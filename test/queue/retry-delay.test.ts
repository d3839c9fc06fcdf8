import { describe, expect } from 'vitest';
import { test } from '../support/database.ts';

describe('the pause before the next try', () => {
  const base = { attempts: 9, delay_ms: 1_000, max_delay_ms: 10_000, jitter: false };
  const table: [string, number[]][] = [
    ['fixed', [1_000, 1_000, 1_000, 1_000, 1_000]],
    ['linear', [1_000, 2_000, 3_000, 4_000, 5_000]],
    ['exponential', [1_000, 2_000, 4_000, 8_000, 10_000]],
  ];

  for (const [backoff, expected] of table) {
    test(`${backoff}: ${expected.join(', ')} ms`, async ({ database }) => {
      const rows = await database.sql<{ pause: number }>(
        'select skipjack.retry_delay_ms($1, number)::float8 as pause from generate_series(1, 5) as number',
        [JSON.stringify({ ...base, backoff })],
      );
      expect(rows.map((row) => row.pause)).toEqual(expected);
    });
  }

  test('jitter spreads it over its upper half', async ({ database }) => {
    const rows = await database.sql<{ pause: number }>(
      'select skipjack.retry_delay_ms($1, 3)::float8 as pause from generate_series(1, 1000)',
      [JSON.stringify({ ...base, backoff: 'fixed', jitter: true })],
    );
    const pauses = rows.map((row) => row.pause);
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(500);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(1_000);
    expect(new Set(pauses).size).toBeGreaterThan(100);
  });

  test('the thousandth failure does not overflow', async ({ database }) => {
    const [row] = await database.sql('select skipjack.retry_delay_ms($1, 1000)::float8 as pause', [
      JSON.stringify({ ...base, backoff: 'exponential' }),
    ]);
    expect(row).toEqual({ pause: 10_000 });
  });
});
