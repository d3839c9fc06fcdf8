import { findCarriers, signalCarrier } from './carriers.ts';
import { unwatchStarted, watchStarted } from './started.ts';

/**
 * What quick programs leave running outside of their groups.
 *
 * To look through all processes after each of hundreds of programs a second would cost more than they do. So one look
 * every few seconds serves all that have ended since the one before: the second asks to end, the third kills.
 */

/** Between two looks, and so at least until what a program left behind is asked to end. */
const lookMs = 2_000;

/** One more than so many are forgotten: they have had more than a look's time in any case. */
const foldersMax = 10_000;

/** Looks after which what is still there is left alone: it cannot be killed. */
const looksMax = 5;

/** How often each folder has been looked for. */
const looks = new Map<string, number>();
let isLooking = false;

/** Ends, in a few seconds, whatever still carries the folder of an attempt that has ended. */
export function endStraysLater(folder: string): void {
  if (process.platform !== 'linux' || looks.size >= foldersMax) return;
  looks.set(folder, 0);
  watchStarted({ group: null, folder });
  if (!isLooking) lookLater();
}

function lookLater(): void {
  isLooking = true;
  setTimeout(look, lookMs).unref();
}

async function look(): Promise<void> {
  const carried = new Set<string>();
  for (const carrier of await findCarriers(new Set(looks.keys())).catch(() => [])) {
    carried.add(carrier.folder);
    const before = looks.get(carrier.folder) ?? 0;
    // At the first look an attempt may have ended a moment ago: its children have their time.
    if (before > 0) signalCarrier(carrier, before === 1 ? 'SIGTERM' : 'SIGKILL');
  }
  for (const [folder, before] of looks) {
    if (before === 0 || (carried.has(folder) && before < looksMax)) looks.set(folder, before + 1);
    else forget(folder);
  }
  isLooking = false;
  if (looks.size > 0) lookLater();
}

function forget(folder: string): void {
  looks.delete(folder);
  unwatchStarted({ folder });
}
