/** Ends Postgres, politely first. All steps together take less than ten seconds. */
import { setTimeout as delay } from 'node:timers/promises';
import { isAlive, signal } from './os-process.ts';
import { killOrphans, type Postmaster } from './postmaster.ts';

const pollMs = 10;

/**
 * SIGINT: roll back, disconnect, write everything out. SIGQUIT: drop everything; the next start replays the
 * log. SIGKILL likewise, for one that does not even take signals.
 */
const steps: readonly [NodeJS.Signals, waitMs: number][] = [
  ['SIGINT', 5_000],
  ['SIGQUIT', 2_000],
  ['SIGKILL', 1_000],
];

/** The signal that it took, or null if it had ended already. */
export async function stopPostgres(
  { osProcess }: Postmaster,
  dataDirectory: string,
): Promise<NodeJS.Signals | null> {
  for (const [name, waitMs] of steps) {
    if (!(await signal(osProcess, name))) return null;
    const giveUpAt = Date.now() + waitMs;
    while (Date.now() < giveUpAt) {
      if (!(await isAlive(osProcess))) {
        if (name !== 'SIGINT') await killOrphans(dataDirectory);
        return name;
      }
      await delay(pollMs);
    }
  }
  return 'SIGKILL';
}
