/** What a run of the language's cases must have seen often. */
import { createTally, type Tally } from './tally.ts';

const each = (names: string[], of: (name: string) => string) => names.map(of);

const statuses = ['always', 'failure', 'success', 'cancelled', 'not failure', 'failure or cancelled'];
const kinds = ['run', 'process', 'sleep', 'event'];
const parked = ['time', 'event', 'process'];

const wanted: string[] = [
  'no if | goes on',
  'no if | skipped',
  ...each(statuses, (status) => `if ${status} | goes on`),
  ...each(statuses, (status) => `if ${status} | skipped`),
  ...each(['goes on', 'skipped', 'fails'], (decision) => `if … input | ${decision}`),
  ...each(['goes on', 'skipped'], (decision) => `if … output | ${decision}`),
  ...each([...kinds, 'nothing'], (kind) => `each of ${kind}`),
  ...each([...kinds, 'nothing'], (kind) => `matrix of ${kind}`),
  'each: not a list',
  'each | failing at once',
  'each | completed, some failed',
  'item failed',
  'item: gives its turn to the next',
  'sub-process attached',
  'sub-process attached, an item',
  'sub-process detached',
  'sub-process detached, an item',
  'sub-process: no such definition',
  ...each(['completed', 'failed', 'cancelled'], (state) => `sub-process ${state} | its task goes on`),
  'sub-process cancelled | its task stopped',
  'a sub-process is told to cancel',
  'sleep',
  'sleep, an item',
  'wait_for',
  'wait_for, an item',
  'event: came before',
  'wait_for: its time passes',
  'event: kept',
  'event: wakes one',
  'event: wakes several',
  ...each(kinds, (kind) => `delay, ${kind}`),
  'output made',
  'output fails',
  'on_failure started',
  'on_failure refused',
  'sub-process failed | on_failure',
  'expression_failed | on_failure',
  'deadline_exceeded | on_failure',
  ...each(['running', 'failing'], (state) => `deadline passed | ${state}`),
  'clean-up due | failing',
  'clean-up due | cancelling',
  'clean-up runs | failing',
  'clean-up runs | cancelling',
  ...each(['completed', 'failed', 'cancelled'], (state) => `clean-up completed | process ${state}`),
  'process fails while tasks run',
  'cancelled behind a failure',
  ...each(['failing', 'cancelling'], (state) => `stopped: pending | ${state}`),
  ...each(['failing', 'cancelling'], (state) => `stopped: claimed | ${state}`),
  ...each(['failing', 'cancelling'], (state) => `stopped: unclaimed | ${state}`),
  ...each(['failing', 'cancelling'], (state) => `stopped: items | ${state}`),
  ...each(parked, (waits) => `stopped: ${waits} | failing`),
  ...each(['pending', 'claimed', 'unclaimed', 'process'], (what) => `stopped: ${what}, an item | running`),
  ...each(['running', 'failing', 'cancelling'], (state) => `settled completed | ${state}`),
  'settled completed | running, an item',
  'settled completed | failing, an item',
  'asked to stop, and has completed',
  'asked to stop, stops',
  'settled failed | running',
  'settled failed | running, an item',
  'settled failed for good | running',
  'tried again after a failure',
  'cancel | running',
  'cancel | failing',
  'cancel | running, paused',
  'pause | running',
  'pause | failing',
  'resume | running',
  'resume | failing',
  'retry of a process',
  'retry of an each',
  'retry of a sub-process with its process',
  'by name: completed',
  'by name: failed',
  'by name refused: waiting',
  'by name refused: ended',
  'at once',
  ...each(
    ['completed', 'failed', 'failed, tolerated', 'cancelled', 'skipped'],
    (state) => `task ends ${state}`,
  ),
  ...each(['completed', 'failed', 'cancelled'], (state) => `process ends ${state}`),
];

const isWanted = new Set(wanted);

export interface LanguageTally extends Tally {
  /** Of what is wanted, what was seen fewer than so many times, and how often. */
  lacking(times: number): Map<string, number>;
}

export function createLanguageTally(): LanguageTally {
  const counts = new Map<string, number>(wanted.map((name) => [name, 0]));
  const tally = createTally(wanted);
  return {
    ...tally,
    count(what, times = 1) {
      counts.set(what, (counts.get(what) ?? 0) + times);
      tally.count(what, times);
    },
    lacking: (times) => new Map([...counts].filter(([name, count]) => isWanted.has(name) && count < times)),
  };
}
