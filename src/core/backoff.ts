/** Jitter and back-off of our own loops (reconnects, polls). A task's retries are timed in SQL. */

/** `ms` ± a quarter: without it, forty workers started together poll together for ever. */
export function withJitter(ms: number, random: () => number = Math.random): number {
  return Math.round(ms * (0.75 + random() / 2));
}

/** The pause before try number `tries` + 1 (from 1): doubles from `firstMs` up to `maxMs`, with jitter. */
export function reconnectDelayMs(
  tries: number,
  {
    firstMs = 100,
    maxMs = 5_000,
    random = Math.random,
  }: { firstMs?: number; maxMs?: number; random?: () => number } = {},
): number {
  return withJitter(Math.min(maxMs, firstMs * 2 ** Math.min(tries - 1, 20)), random);
}
