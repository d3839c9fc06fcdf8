/** The moves, made by the product's own functions; answers in the words of the model. */
import { newId } from '../../src/core/ids.ts';
import type { Plan } from '../../src/core/plan.ts';
import type { ClaimedTask, HeartbeatResult, SettleResult } from '../../src/core/task-source.ts';
import { decodeToken } from '../../src/core/token.ts';
import { publishDefinition } from '../../src/engine/publish.ts';
import { startProcesses } from '../../src/engine/start.ts';
import { cancelProcess } from '../../src/queue/processes/cancel.ts';
import { endTaskByName } from '../../src/queue/processes/end-by-name.ts';
import { setProcessPaused } from '../../src/queue/processes/pause.ts';
import { retryProcess } from '../../src/queue/processes/retry.ts';
import { reapExpiredClaims } from '../../src/queue/reap.ts';
import { replayDeadLetter } from '../../src/queue/replay.ts';
import { type ClaimOutcome, settleTasks } from '../../src/queue/settle.ts';
import type { TestDatabase } from '../support/database.ts';
import type { Case } from './case.ts';
import type { ProcessPlan } from './model.ts';
import { type ClaimName, type Move, nameOfClaim } from './moves.ts';
import type { Holder, Word } from './task-model.ts';

/** Where a case's rows are. */
export interface Stage {
  processIds: string[];
  /** By process and ordinal − 1. */
  taskIds: string[][];
  /** A task's place by its id. */
  places: Map<string, { process: number; task: number }>;
  queueOf: (label: string) => string;
}

export type Actor = Pick<TestDatabase, 'db' | 'queue' | 'sql'>;

const hourMs = 3_600_000;
const leases = {
  // Shorter than the timeout, and with a grace: the lease never ends with the deadline.
  usual: { leaseMs: hourMs / 6, timeoutGraceMs: 5_000 },
  graceless: { leaseMs: 4 * hourMs, timeoutGraceMs: 0 },
};
const timeoutMs = hourMs;

export async function setStage({ db, sql }: Actor, { plans }: Case, lines: string): Promise<Stage> {
  const queueOf = (label: string) => `${lines} ${label}`;
  const names = plans.map((_, index) => `${lines} ${index}`);
  for (const [index, plan] of plans.entries())
    await publishDefinition(db, names[index] as string, {
      source: names[index] as string,
      plan: toPlan(plan, queueOf),
    });
  const processIds = plans.map(() => newId());
  const started = await startProcesses(
    db,
    processIds.map((id, index) => ({
      id,
      definition: names[index] as string,
      version: null,
      definition_id: null,
      input: {},
      idempotency_key: null,
    })),
  );
  if (started.some((result) => result.kind !== 'created')) throw new Error(JSON.stringify(started));
  const rows = await sql<{ id: string; process_id: string; ordinal: number }>(
    'select id, process_id, ordinal from skipjack.tasks where process_id = any ($1::uuid[]) order by process_id, ordinal',
    [processIds],
  );
  const taskIds = processIds.map((id) => rows.filter((row) => row.process_id === id).map((row) => row.id));
  const places = new Map(
    rows.map((row) => [row.id, { process: processIds.indexOf(row.process_id), task: row.ordinal }]),
  );
  return { processIds, taskIds, places, queueOf };
}

function toPlan(plan: ProcessPlan, queueOf: (label: string) => string): Plan {
  return {
    name: null,
    fail_fast: plan.failFast,
    input: null,
    tasks: plan.tasks.map((task) => ({
      name: task.name,
      queue: queueOf(task.queue),
      priority: task.priority,
      spec: null,
      input: null,
      labels: null,
      retry: {
        attempts: task.attemptsMax,
        backoff: 'fixed',
        delay_ms: task.retriesLater ? hourMs : 0,
        max_delay_ms: hourMs,
        jitter: false,
        ...(task.retriesOn && { on: { codes: task.retriesOn } }),
        ...(task.retriesWithin && { within_ms: hourMs / 2 }),
      },
      timeout_ms: task.hasTimeout ? timeoutMs : null,
      continue_on_error: task.continueOnError,
      needs: task.needs,
      dependents: plan.tasks
        .filter((other) => other.needs.includes(task.ordinal))
        .map((other) => other.ordinal),
    })),
  };
}

/** Makes the move; answers its parts. */
export async function performMove(actor: Actor, stage: Stage, move: Move): Promise<string[]> {
  const { db, queue, sql } = actor;
  const processId = 'process' in move ? (stage.processIds[move.process] as string) : '';
  const taskId = ({ process, task }: { process: number; task: number }) =>
    stage.taskIds[process]?.[task - 1] as string;
  switch (move.move) {
    case 'claim': {
      const tasks = await queue.claim({
        queues: move.queues.map(stage.queueOf),
        limit: move.limit,
        startLimit: move.startLimit,
        worker: move.worker,
        waitMs: 0,
        ...leaseOf(move),
      });
      return tasks.map((task) => describeClaim(stage, task));
    }
    case 'claim one': {
      const result = await queue.claimOne(taskId(move), {
        worker: move.worker,
        claimId: newId(),
        ...leaseOf(move),
      });
      if (result.kind === 'claimed') return [describeClaim(stage, result.task)];
      if (result.kind === 'already_claimed') return [`${result.kind} ${result.worker}`];
      return [result.kind === 'ended' ? `ended ${result.state}` : result.kind];
    }
    case 'beat':
      return Promise.all(
        move.claims.map(async (name) =>
          describeBeat(
            await queue.heartbeat({
              taskId: taskId(name),
              claimNo: name.no,
              started: name.started,
              ...leaseOf(name),
            }),
          ),
        ),
      );
    case 'expire':
    case 'pass deadline':
      await sql(move.move === 'expire' ? expireLeases : passDeadlines, [
        move.claims.map(taskId),
        move.claims.map((name) => name.no),
      ]);
      return [''];
    case 'make due':
      {
        const [item] = await sql<{ queue: string; priority: number }>(makeDue, [taskId(move)]);
        // Time does not run backwards, and what waits in a line relies on that.
        if (item) db.hints.announce({ lines: [[item.queue, item.priority]], putBack: true });
      }
      return [''];
    case 'reap':
      return [`${await reapExpiredClaims(db)}`];
    case 'settle': {
      const outcomes = move.words.map((each) => toOutcome(stage, each));
      return (await settleTasks(db, outcomes)).map(describeSettled);
    }
    case 'cancel': {
      const result = await cancelProcess(db, processId);
      return [result.kind === 'ended' ? `ended ${result.state}` : result.kind];
    }
    case 'pause':
    case 'resume': {
      const result = await setProcessPaused(db, processId, move.move === 'pause');
      return [result.kind === 'ended' ? `ended ${result.state}` : result.kind];
    }
    case 'retry': {
      const result = await retryProcess(db, processId);
      if (result.kind === 'retried') return [`retried ${result.tasks.join(',')}`];
      return [result.kind === 'not_failed' ? `not_failed ${result.state}` : result.kind];
    }
    case 'end by name': {
      const { kind, by, says } = move.end;
      const result = await endTaskByName(
        db,
        processId,
        move.name,
        kind === 'completed' ? { kind, output: says } : { kind, error: { code: says, message: says } },
        { by },
      );
      if (result.kind === 'ended') return [result.repeated ? 'ended, repeated' : 'ended'];
      if (result.kind === 'already_settled') return [`already_settled ${result.state}`];
      if (result.kind === 'already_claimed') return [`already_claimed ${result.worker}`];
      return [result.kind === 'pending' ? `pending ${result.needs.join(',')}` : result.kind];
    }
    case 'replay': {
      const result = await replayDeadLetter(db, taskId(move));
      return [result.kind === 'process_not_failed' ? `process_not_failed ${result.state}` : result.kind];
    }
  }
}

function leaseOf({ graceless }: Pick<Holder, 'graceless'>) {
  return graceless ? leases.graceless : leases.usual;
}

function toOutcome(stage: Stage, { process, task, no, word }: ClaimName & { word: Word }): ClaimOutcome {
  const claim = {
    taskId: stage.taskIds[process]?.[task - 1] as string,
    claimNo: no,
    processId: stage.processIds[process] as string,
  };
  const { kind, says = kind } = word;
  switch (kind) {
    case 'completed':
      return { ...claim, kind, output: says };
    case 'failed':
    case 'timed_out':
      return {
        ...claim,
        kind,
        error: { code: says, message: says },
        ...(word.retry === undefined ? {} : { retry: word.retry }),
      };
    case 'released':
      return { ...claim, kind, ...(word.later ? { delayMs: hourMs } : {}) };
    default:
      return { ...claim, kind };
  }
}

function describeClaim({ places }: Stage, task: ClaimedTask): string {
  const place = places.get(task.id);
  const claim = decodeToken(task.token, task.id);
  if (!place || !claim) return `a stranger: ${task.id}`;
  const outputs = Object.entries(task.needs).map(([name, output]) => `${name}=${output}`);
  return [
    nameOfClaim({ ...place, no: claim.claimNo }),
    `attempt ${task.attempt} of ${task.attempts_max}`,
    task.started ? 'started' : 'held',
    `after ${outputs.sort().join(' ')}`,
  ].join(', ');
}

function describeBeat(result: HeartbeatResult): string {
  return result.kind === 'stop' ? `stop ${result.reason}` : result.kind;
}

function describeSettled(result: SettleResult): string {
  if (result.kind === 'already_settled') return `already_settled ${result.state}`;
  if (result.kind !== 'settled') return result.kind;
  const isComing = !result.repeated && result.state === 'active';
  if (isComing !== (result.nextTryAt !== null))
    return `settled ${result.state}, next try ${result.nextTryAt}`;
  return `${result.repeated ? 'repeated' : 'settled'} ${result.state}`;
}

// Time is moved by moving the row's times. Where a lease ends with its deadline, it goes on doing so.

/** Several are locked in the order of their ids, as settle locks them. */
const claims = `
  with claims as materialized (
    select item.task_id
    from unnest($1::uuid[], $2::integer[]) as claim (task_id, claim_no)
    join skipjack.queue_items as item using (task_id, claim_no)
    where item.worker is not null
    order by item.task_id
    for update of item
  )`;

const expireLeases = `${claims}
  update skipjack.queue_items as item set
    lease_expires_at = past.at, deadline_at = case when lease_expires_at = deadline_at then past.at else deadline_at end
  from claims, (select clock_timestamp() - interval '1 second' as at) as past
  where item.task_id = claims.task_id`;

const passDeadlines = `${claims}
  update skipjack.queue_items as item set
    started_at = started_at - interval '1 day', deadline_at = deadline_at - interval '1 day',
    lease_expires_at = lease_expires_at - case when lease_expires_at = deadline_at then interval '1 day' else interval '0' end
  from claims
  where item.task_id = claims.task_id and item.started_at is not null and item.timeout_ms is not null`;

const makeDue = `
  update skipjack.queue_items set available_at = clock_timestamp()
  where task_id = $1 and worker is null and available_at > clock_timestamp()
  returning queue, priority`;
