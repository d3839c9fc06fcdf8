/** How often each thing occurred, over a run. */

/** What a worker or the reaper may say of an attempt, as the model names it. */
const words = [
  'completed',
  'failed',
  'failed, no retry wanted',
  'timed_out',
  'released',
  'cancelled',
  'lost',
  'lost before its start',
  'lost past its deadline',
];

/** How the process may stand then. */
const situations = ['running', 'failing at once', 'failing, branches go on', 'cancelling'];

/** Everything that a run must have seen often. */
export const wanted = [
  ...words.flatMap((word) => situations.map((situation) => `${word} | ${situation}`)),
  'tried again after a failure',
  'failed for good: not in `on`, or too late',
  'failed',
  'failed, tolerated',
  'lost too often',
  'lost too often, tolerated',
  'completed after the lease ran out',
  'fails while tasks run | failing at once',
  'fails while tasks run | failing, branches go on',
  'active behind a need that ended in a failing process',
  'cancelled behind a failure',
  'stopped: pending',
  'stopped: active',
  'batch: several tasks of a process',
  'batch: of several processes',
  'batch: completed and others',
  'batch: two words about one claim',
  'outcome refused: lease_lost',
  'outcome refused: already_settled',
  'outcome refused: repeated',
  'outcome refused: lost, but its lease stands',
  'claim: starts at once',
  'claim: held ahead',
  'claim: held ahead, starts later',
  'claim: finds nothing',
  'claim by id',
  'claim by id refused',
  'heartbeat: extended',
  'heartbeat: stop cancelled',
  'heartbeat: stop timed_out',
  'heartbeat: gone',
  'reap',
  'cancel | running',
  'cancel | failing',
  'cancel: while paused',
  'cancel: asked before',
  'cancel refused: ended',
  'pause | running',
  'pause | failing',
  'pause: while tasks run',
  'pause refused: ended',
  'resume | running',
  'resume | failing',
  'active while the process is paused',
  'retry of a process',
  'retry of a process: some wait again',
  'retry of a process refused: not failed',
  'replay of a dead letter',
  'replay refused',
  'replay refused: process not failed',
  'by name: completed',
  'by name: failed',
  'by name | running',
  'by name | failing',
  'by name: while paused',
  'by name: said before',
  'by name refused: pending',
  'by name refused: claimed',
  'by name refused: ended',
  'by name refused: no such task',
  'moves that others came between',
  'refused, at once with others',
  'task ends completed',
  'task ends failed',
  'task ends failed, tolerated',
  'task ends cancelled',
  'process ends completed',
  'process ends failed',
  'process ends cancelled',
];

export interface Tally {
  count(what: string, times?: number): void;
  /** What is wanted and was seen fewer than so many times. */
  rare(times: number): string[];
  table(): string;
}

/** `names`: what is wanted. */
export function createTally(names: string[] = wanted): Tally {
  const counts = new Map<string, number>();
  const line = (what: string) => `${String(counts.get(what) ?? 0).padStart(8)}  ${what}`;
  return {
    count(what, times = 1) {
      counts.set(what, (counts.get(what) ?? 0) + times);
    },
    rare: (times) => names.filter((what) => (counts.get(what) ?? 0) < times).map(line),
    table: () =>
      [...names, ...[...counts.keys()].filter((what) => !names.includes(what)).sort()].map(line).join('\n'),
  };
}
