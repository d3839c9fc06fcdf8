/** One look into the inbox of locked processes: what is due is read, decided, done and deleted. */
import { crashPoint } from '../../core/crash-point.ts';
import type { ThoughtKind } from '../../core/process.ts';
import type { Parking } from '../../core/task.ts';
import type { Transaction } from '../../database/connection.ts';
import { type DueThought, holdThoughts, readDueThoughts } from '../../queue/processes/due-thoughts.ts';
import { type ProcessStanding, readStandings } from '../../queue/processes/read-standing.ts';
import { act, noActs } from './acts.ts';
import { takeUpChildren } from './children.ts';
import { bulkyMax, type Round, type TaskThought, type Turn, waitsMax } from './context.ts';
import { finishProcesses } from './finish.ts';
import { endLists } from './lists.ts';
import { skipChains } from './skip-chains.ts';
import { cancelAsked, cleanUp, passDeadlines, retryAsked } from './stops.ts';
import { thinkTasks } from './think-tasks.ts';
import { takeUpEvents, timeOutWaits } from './waits.ts';

/** What is due beyond it comes in the next round. */
const rowsMax = 500;

/** For which parkings a task waits that is thought about so; what it does not wait for is stale. */
const parkingsOf: Partial<Record<ThoughtKind, Parking[]>> = {
  think: ['engine'],
  items: ['items'],
  child_ended: ['process'],
  timer: ['time', 'event'],
  event: ['event'],
};

export interface RoundResult {
  /** Rows that it is done with. */
  thought: number;
  /** Something that is due at once may have come of it, or was left over. */
  mayFollow: boolean;
}

export async function thinkRound(tx: Transaction, turn: Turn): Promise<RoundResult> {
  const processes = new Map((await readStandings(tx, turn.ids)).map((process) => [process.id, process]));
  crashPoint('engine_standings_read');
  const held = [...processes.values()].filter(isHeld).map(({ id }) => id);
  const postponed = held.length > 0 ? await holdThoughts(tx, held) : 0;
  if (held.length > 0) crashPoint('engine_held');
  const rows = await readDueThoughts(tx, { processIds: turn.ids, limit: rowsMax, only: turn.only });
  crashPoint('engine_read');
  if (rows.length === 0) return { thought: postponed, mayFollow: false };

  const round: Round = { tx, turn, processes, acts: noActs() };
  const { acts } = round;
  const wholes = rows.filter((row) => !(row.kind in parkingsOf));
  const tasks = rows.filter(isLive);
  const of = (kind: ThoughtKind) => wholes.filter((row) => row.kind === kind);
  for (const row of rows) if (row.kind in parkingsOf && !isLive(row)) acts.done.push(row.id);
  acts.done.push(...wholes.map(({ id }) => id));

  const { first, repeated } = onceEach(tasks);
  acts.done.push(...repeated.map(({ id }) => id));
  const pick = (isWanted: (row: TaskThought) => boolean) => first.filter(isWanted);
  const step = async (wanted: TaskThought[], take: (round: Round, rows: TaskThought[]) => Promise<void>) => {
    if (wanted.length > 0) await take(round, wanted);
  };
  await step(
    pick((row) => row.kind === 'think' || (row.kind === 'timer' && isDelayOf(row))),
    thinkTasks,
  );
  for (const row of pick(({ kind, task }) => kind === 'timer' && task.waits_for === 'time'))
    if (!isDelayOf(row)) {
      acts.done.push(row.id);
      acts.ends.push({ taskId: row.task_id, processId: row.process_id, state: 'completed', output: null });
    }
  await step(
    pick(({ kind, task }) => kind === 'timer' && task.waits_for === 'event'),
    timeOutWaits,
  );
  await step(pick(({ kind }) => kind === 'event').slice(0, bulkyMax), takeUpEvents);
  await step(
    pick(({ kind }) => kind === 'items'),
    endLists,
  );
  await step(pick(({ kind }) => kind === 'child_ended').slice(0, bulkyMax), takeUpChildren);
  // Where more may be due, it is not known what else there is of a process.
  if (turn.only === null && rows.length < rowsMax) await skipChains(round, rows);
  crashPoint('engine_decided');
  turn.hints.push(...(await act(tx, acts)));

  // A process that was to be retried, and then was not, goes on before it stops: else it would do so afterwards.
  if (of('retry').length > 0) await retryAsked(round, of('retry'));
  const cancels = of('cancel').filter((row) => !isRevoked(row, of('retry')));
  if (cancels.length > 0) await cancelAsked(round, cancels);
  if (of('deadline').length > 0) await passDeadlines(round, of('deadline'));
  if (of('cleanup').length > 0) await cleanUp(round, of('cleanup'));
  if (of('finish').length > 0) await finishProcesses(round, of('finish'));
  const thought = acts.done.length + acts.putOff;
  const hasEnded = acts.ends.length + acts.expansions.length + acts.stoppedLists.length + wholes.length > 0;
  return {
    thought: postponed + thought,
    // Locks of events are let go of first.
    mayFollow: turn.waits < waitsMax && (hasEnded || thought < rows.length || rows.length === rowsMax),
  };
}

function isHeld({ paused, state }: ProcessStanding): boolean {
  return paused && (state === 'running' || state === 'failing');
}

function isLive(row: DueThought): row is TaskThought {
  const { task, task_id, kind } = row;
  const parkings = parkingsOf[kind];
  if (parkings === undefined || task === null || task_id === null || task.state !== 'active') return false;
  return task.waits_for !== null && parkings.includes(task.waits_for);
}

function isDelayOf({ details, task }: TaskThought): boolean {
  return task.waits_for === 'time' && Boolean((details as { delayed?: true } | null)?.delayed);
}

/** It was to stop in an earlier life, which it had ended by then. Both come from its parent, in this order. */
function isRevoked(cancel: DueThought, retries: DueThought[]): boolean {
  return retries.some(
    (retry) => retry.process_id === cancel.process_id && BigInt(retry.id) > BigInt(cancel.id),
  );
}

/** One row of each task; an event before the time in which it had to come. */
function onceEach(rows: TaskThought[]): { first: TaskThought[]; repeated: TaskThought[] } {
  const first = new Map<string, TaskThought>();
  const repeated: TaskThought[] = [];
  for (const row of rows) {
    const known = first.get(row.task_id);
    if (known && !(row.kind === 'event' && known.kind === 'timer')) repeated.push(row);
    else {
      if (known) repeated.push(known);
      first.set(row.task_id, row);
    }
  }
  return { first: [...first.values()], repeated };
}
