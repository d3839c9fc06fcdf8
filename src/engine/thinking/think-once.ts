/**
 * A turn of the engine: what is due of some processes that nobody holds, thought about in one transaction, with what
 * follows from it at once.
 *
 * Should that throw, it is repeated process by process, then row by row, so that what cannot be thought about holds
 * nothing else up. The row that threw is counted and put off; the third time ends its task, or its process. Faults of
 * the connection are nobody's: they end the turn. So does a time limit, which says whose turn it was.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { crashPoint } from '../../core/crash-point.ts';
import type { Plan } from '../../core/plan.ts';
import { inTransaction, type Transaction } from '../../database/connection.ts';
import { isConnectionFault, isRepeatable, isTimeLimit } from '../../database/faults.ts';
import type { Hint } from '../../database/hints.ts';
import {
  type DueProcess,
  dropThoughtsOfGone,
  dueProcessesMax,
  findDueProcesses,
  lockFreeProcesses,
  readDueThoughts,
} from '../../queue/processes/due-thoughts.ts';
import type { Queue } from '../../queue/queue.ts';
import type { Turn } from './context.ts';
import { giveUpOn } from './give-up.ts';
import { thinkRound } from './round.ts';

/** What an engine needs of a queue. */
export type Thinker = Pick<Queue, 'db' | 'plans' | 'repeated'>;

export interface ThinkOptions {
  /** Hears of what threw, where it did not end the turn. */
  onError?: (error: unknown) => void;
  /** Processes that were found locked a moment ago, or took too long. */
  passOver?: string[];
  /** Processes of one turn at most. */
  processesMax?: number;
}

/** What was to be thought about these processes took longer than a statement, or a transaction, may. */
export class TurnTimedOut extends Error {
  override name = 'TurnTimedOut';
  readonly processIds: string[];

  constructor(processIds: string[], cause: unknown) {
    super(`thinking about ${processIds.length} processes took longer than the database or we allow`, {
      cause,
    });
    this.processIds = processIds;
  }
}

export interface TurnResult {
  /** Rows of the inbox that it is done with. */
  thought: number;
  /** Processes that were thought about. */
  processIds: string[];
  /** Processes that others hold. */
  busy: string[];
  /** Where nothing was thought: until something is due, if anything is known of. */
  nextDueMs: number | null;
}

type Part = Pick<TurnResult, 'thought' | 'busy'>;

/** Of what follows at once from what was thought, in one transaction; the rest comes in the next turn. */
const roundsMax = 100;
/** How long processes are held by one transaction, but for the round under way. */
const turnMs = 250;
/** Rows of a process that are tried one by one. */
const alonesMax = 500;
/** Until others are asked again whether they have left what they held. */
const busyPauseMs = 5;

export async function thinkOnce(queue: Thinker, options: ThinkOptions = {}): Promise<TurnResult> {
  const { onError = () => {}, passOver = [], processesMax = dueProcessesMax } = options;
  const { due, nextDueMs } = await findDueProcesses(queue.db, { passOver, limit: processesMax });
  if (due.length === 0) return { thought: 0, processIds: [], busy: [], nextDueMs };
  crashPoint('engine_candidates_found');
  const plans = await queue.plans.get(due.flatMap(({ definition_id: id }) => id ?? []));
  crashPoint('engine_plans_read');
  try {
    // Where nothing was left to think of the first, which others have moved meanwhile, more may be due behind them.
    return turnOf([await think(queue, { due, plans, only: null })]);
  } catch (error) {
    endTurnBy(queue, error);
    const results = [];
    for (const each of due) results.push(await thinkAlone(queue, { process: each, plans, onError }));
    return turnOf(results);
  }

  function turnOf(parts: Part[]): TurnResult {
    const busy = parts.flatMap((part) => part.busy);
    return {
      thought: parts.reduce((sum, { thought }) => sum + thought, 0),
      processIds: due.flatMap(({ id }) => (busy.includes(id) ? [] : id)),
      busy,
      nextDueMs: 0,
    };
  }
}

/** Until nothing is due; for tests, and programs that end. Answers how many rows that were. */
export async function thinkUntilQuiet(
  queue: Thinker,
  { turnsMax = 1_000, ...options }: ThinkOptions & { turnsMax?: number } = {},
): Promise<number> {
  let sum = 0;
  for (let turn = 0; turn < turnsMax; turn += 1) {
    const { thought, busy } = await thinkOnce(queue, options);
    sum += thought;
    if (thought > 0) continue;
    if (busy.length === 0) return sum;
    await sleep(busyPauseMs);
  }
  throw new Error(`there was always something to think about, ${turnsMax} times`);
}

/** What is repeated is counted; what no repeating heals now is for whoever asked for the turn. */
function endTurnBy(queue: Thinker, error: unknown): void {
  if (error instanceof TurnTimedOut || isConnectionFault(error)) throw error;
  if (isRepeatable(error)) queue.repeated.deadlocks += 1;
}

async function think(
  queue: Thinker,
  { due, plans, only }: { due: DueProcess[]; plans: Map<string, Plan>; only: string | null },
): Promise<Part> {
  const { db } = queue;
  const asked = due.map(({ id }) => id);
  const { thought, ids, hints } = await inTransaction(db, async (tx) => {
    const locked = await lockFreeProcesses(tx, asked, { patienceMs: db.queryTimeoutMs });
    crashPoint('engine_processes_locked');
    const turn: Turn = {
      ids: locked,
      plans,
      only,
      endsAt: performance.now() + turnMs,
      waits: 0,
      hints: [],
    };
    const done = locked.length === 0 ? 0 : await thinkRounds(tx, turn);
    crashPoint('engine_before_commit');
    return { thought: done, ids: locked, hints: turn.hints };
  }).catch((error) => {
    throw isTimeLimit(error) ? new TurnTimedOut(asked, error) : error;
  });
  crashPoint('engine_committed');
  announce(queue, hints);
  crashPoint('engine_announced');
  const missing = asked.filter((id) => !ids.includes(id));
  const gone = due.flatMap(({ id, definition_id }) => (definition_id === null ? id : []));
  if (gone.length > 0) {
    await dropThoughtsOfGone(db, gone);
    crashPoint('engine_gone_dropped');
  }
  return { thought, busy: missing.filter((id) => !gone.includes(id)) };
}

async function thinkRounds(tx: Transaction, turn: Turn): Promise<number> {
  let sum = 0;
  const rounds = turn.only === null ? roundsMax : 1;
  for (let round = 0; round < rounds; round += 1) {
    const { thought, mayFollow } = await thinkRound(tx, turn);
    sum += thought;
    if (thought === 0 || !mayFollow || performance.now() > turn.endsAt) break;
  }
  return sum;
}

async function thinkAlone(
  queue: Thinker,
  {
    process,
    plans,
    onError,
  }: { process: DueProcess; plans: Map<string, Plan>; onError: (error: unknown) => void },
): Promise<Part> {
  try {
    return await think(queue, { due: [process], plans, only: null });
  } catch (error) {
    endTurnBy(queue, error);
  }
  const rows = await inTransaction(queue.db, async (tx) => {
    const alone = await readDueThoughts(tx, { processIds: [process.id], limit: alonesMax, only: null });
    crashPoint('engine_alone_read');
    return alone;
  });
  let sum = 0;
  for (const { id } of rows) {
    try {
      const { thought, busy } = await think(queue, { due: [process], plans, only: id });
      if (busy.length > 0) return { thought: sum, busy };
      sum += thought;
    } catch (error) {
      endTurnBy(queue, error);
      if (isRepeatable(error)) continue;
      onError(error);
      announce(queue, await giveUpOn(queue.db, { rowId: id, plans, error, onError }));
      // It is out of the way for a while: the others go together again.
      return { thought: sum + 1, busy: [] };
    }
  }
  return { thought: sum, busy: [] };
}

function announce({ db }: Thinker, hints: Hint[]): void {
  for (const hint of hints) db.hints.announce(hint);
}
