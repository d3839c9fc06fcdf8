/**
 * How many processes may lie beneath one that nobody started: what starts itself is stopped before it fills the disk.
 *
 * No row counts them, for all that start one would wait for it. They are counted by a walk, and between two walks an
 * engine adds what it has started itself: the next walk is due when that is a tenth of what the last one found. So
 * all walks of a family together are some ten times its size; several engines may go past the bound by a tenth each.
 * Nothing is refused but by what a walk has found, this very moment or less than a second ago.
 */
import { crashPoint } from '../../core/crash-point.ts';
import type { Transaction } from '../../database/connection.ts';
import { countDescendants, readRoots } from '../../queue/processes/read-family.ts';

/** Five lists, as long as they may be, of which each item starts a process. */
export const descendantsMax = 50_000;

interface Family {
  counted: number;
  /** Since then, by this OS process; those that were rolled back too. */
  started: number;
  /** By `performance.now()`. */
  countedAtMs: number;
}

/** By the process at the top. One that was forgotten is taken for a small one. */
const families = new Map<string, Family>();
const familiesMax = 10_000;
const uncountedMax = 100;
const fullMs = 1_000;

/** A process that is to start another one. */
interface Start {
  process: { id: string; depth: number };
}

/** Of these starts those for which there is no room any more. */
export async function findTooMany<Each extends Start>(tx: Transaction, starts: Each[]): Promise<Set<Each>> {
  const now = performance.now();
  const inner = starts.flatMap(({ process }) => (process.depth > 0 ? process.id : []));
  const roots = inner.length > 0 ? await readRoots(tx, [...new Set(inner)]) : new Map<string, string>();
  if (inner.length > 0) crashPoint('engine_roots_read');
  const byRoot = new Map<string, Each[]>();
  for (const start of starts) {
    const root = roots.get(start.process.id) ?? start.process.id;
    byRoot.set(root, [...(byRoot.get(root) ?? []), start]);
  }
  const due = [...byRoot].flatMap(([root, { length }]) =>
    isWalkDue(familyOf(root), length, now) ? root : [],
  );
  if (due.length > 0) {
    const counts = await countDescendants(tx, due, descendantsMax);
    for (const root of due) remember(root, { counted: counts.get(root) ?? 0, started: 0, countedAtMs: now });
  }
  return new Set([...byRoot].flatMap(([root, all]) => all.slice(take(root, all.length))));
}

/** Answers for how many of them there is room. */
function take(root: string, wanted: number): number {
  const family = familyOf(root);
  const room = Math.min(wanted, Math.max(0, descendantsMax - family.counted - family.started));
  remember(root, { ...family, started: family.started + room });
  return room;
}

function isWalkDue({ counted, started, countedAtMs }: Family, more: number, now: number): boolean {
  // Found full a moment ago: so that ten thousand who are refused do not walk one after the other.
  if (counted >= descendantsMax && now - countedAtMs < fullMs) return false;
  return started + more > Math.max(uncountedMax, counted / 10) || counted + started + more > descendantsMax;
}

function familyOf(root: string): Family {
  return families.get(root) ?? { counted: 0, started: 0, countedAtMs: 0 };
}

function remember(root: string, family: Family): void {
  // Deleted first: a Map keeps the order of insertion, and the first is then the oldest.
  families.delete(root);
  families.set(root, family);
  if (families.size <= familiesMax) return;
  for (const oldest of families.keys()) {
    families.delete(oldest);
    break;
  }
}
