/** The moves, made by the product's own functions; answers in the words of the model. */

import { newId } from '../../src/core/ids.ts';
import { decodeToken } from '../../src/core/token.ts';
import { parseDefinition } from '../../src/definition/parse-definition.ts';
import { publishDefinition } from '../../src/engine/publish.ts';
import { startProcesses } from '../../src/engine/start.ts';
import { sendEvents } from '../../src/queue/events/send.ts';
import { cancelProcess } from '../../src/queue/processes/cancel.ts';
import { endTaskByName } from '../../src/queue/processes/end-by-name.ts';
import { setProcessPaused } from '../../src/queue/processes/pause.ts';
import { retryProcess } from '../../src/queue/processes/retry.ts';
import { type ClaimOutcome, settleTasks } from '../../src/queue/settle.ts';
import type { TestDatabase } from '../support/database.ts';
import type { LanguageCase } from './language-case.ts';
import { type Names, toDefinition, usualInput } from './language-definition.ts';
import type { LanguageMove } from './language-moves.ts';
import { placeOf, type Seen } from './language-observe.ts';
import type { Word } from './language-people.ts';

export interface LanguageStage {
  rootId: string;
  names: Names;
  /** By task, of its last claim. */
  claims: Map<string, number>;
}

export type LanguageActor = Pick<TestDatabase, 'db' | 'queue' | 'sql'>;

/** `lines`: names for its queues, definitions and events that nobody else uses. */
export async function setLanguageStage(
  { db }: LanguageActor,
  { plans }: LanguageCase,
  lines: string,
): Promise<LanguageStage> {
  const names: Names = {
    queue: lines,
    event: lines,
    definitionOf: (plan) => `${lines} ${plan}`,
  };
  for (const [index, plan] of plans.entries()) {
    const source = JSON.stringify(toDefinition(plan, names), null, 1);
    const parsed = parseDefinition(source);
    if (parsed.kind === 'invalid') throw new Error(`${JSON.stringify(parsed.problems)}\n${source}`);
    await publishDefinition(db, names.definitionOf(index), { source, plan: parsed.plan });
  }
  const rootId = newId();
  const [result] = await startProcesses(db, [
    {
      id: rootId,
      definition: names.definitionOf(0),
      version: null,
      definition_id: null,
      input: usualInput,
      idempotency_key: null,
    },
  ]);
  if (result?.kind !== 'created') throw new Error(JSON.stringify(result));
  return { rootId, names, claims: new Map() };
}

export async function performLanguageMove(
  actor: LanguageActor,
  stage: LanguageStage,
  seen: Seen,
  move: LanguageMove,
): Promise<string[]> {
  const { db, sql } = actor;
  const processId = 'path' in move ? (seen.processes.get(move.path) ?? '') : '';
  switch (move.move) {
    case 'claim':
      return claimAll(actor, stage, seen);
    case 'settle': {
      const outcomes = move.words.map(({ path, name, word, output }): ClaimOutcome => {
        const task = seen.tasks.get(placeOf(path, name));
        if (!task) throw new Error(`no task ${path} ${name}`);
        const claim = { taskId: task.id, processId: task.processId, claimNo: stage.claims.get(task.id) ?? 0 };
        return { ...claim, ...toOutcome(word, output) } as ClaimOutcome;
      });
      const lost = outcomes.filter(({ kind }) => kind === 'lost').map(({ taskId }) => taskId);
      if (lost.length > 0) await sql(expireLeases, [lost]);
      const results = await settleTasks(db, outcomes);
      return results.flatMap((result, index) =>
        result.kind === 'settled' && !result.repeated
          ? []
          : [`${JSON.stringify(move.words[index])} was answered ${JSON.stringify(result)}`],
      );
    }
    case 'send event': {
      const event = {
        id: newId(),
        name: stage.names.event,
        key: move.key,
        payload: move.payload,
        idempotency_key: null,
      };
      const [result] = await sendEvents(db, [event]);
      return [result?.kind === 'created' ? `woken ${result.woken}` : JSON.stringify(result)];
    }
    case 'pass time':
      await sql(passTime, [seen.tasks.get(placeOf(move.path, move.name))?.id]);
      await sql(makeDue, [seen.tasks.get(placeOf(move.path, move.name))?.id]);
      db.hints.announce({ lines: [[stage.names.queue, 5]], putBack: true });
      return [];
    case 'pass deadline':
      await sql(
        `update skipjack.engine_items set available_at = clock_timestamp() - interval '1 second'
         where process_id = $1 and kind = 'deadline' and available_at < 'infinity'`,
        [processId],
      );
      return [];
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
      return [result.kind === 'not_failed' ? `not_failed ${result.state}` : result.kind];
    }
    case 'end by name': {
      const result = await endTaskByName(
        db,
        processId,
        move.name,
        move.state === 'completed'
          ? { kind: 'completed', output: 'said' }
          : { kind: 'failed', error: { code: 'broken', message: 'said so' } },
        { by: newId() },
      );
      if (result.kind === 'already_settled') return [`already_settled ${result.state}`];
      return [result.kind === 'waiting' ? `waiting ${result.waitsFor}` : result.kind];
    }
  }
}

async function claimAll({ queue }: LanguageActor, stage: LanguageStage, seen: Seen): Promise<string[]> {
  const found: string[] = [];
  for (;;) {
    const tasks = await queue.claim({
      queues: [stage.names.queue],
      limit: 100,
      worker: 'worker',
      waitMs: 0,
      leaseMs: 3_600_000,
      timeoutGraceMs: 5_000,
    });
    if (tasks.length === 0) return found.sort();
    for (const task of tasks) {
      const claim = decodeToken(task.token, task.id);
      const place = seen.places.get(task.id);
      stage.claims.set(task.id, claim?.claimNo ?? 0);
      found.push(place ? `${place.path} ${place.name}` : `a stranger: ${task.name}`);
    }
  }
}

export function toOutcome(word: Word, output: unknown) {
  switch (word) {
    case 'completed':
      return { kind: word, output };
    case 'failed':
    case 'failed for good':
      return {
        kind: 'failed',
        error: { code: 'broken', message: 'broken' },
        ...(word === 'failed for good' && { retry: false }),
      };
    default:
      return { kind: word };
  }
}

// Time is moved by moving the times of what waits for it.

const expireLeases = `
  update skipjack.queue_items set lease_expires_at = clock_timestamp() - interval '1 second' where task_id = any ($1::uuid[])`;

const passTime = `
  update skipjack.engine_items set available_at = clock_timestamp() - interval '1 second'
  where task_id = $1 and kind = 'timer' and available_at < 'infinity'`;

const makeDue = `
  update skipjack.queue_items set available_at = clock_timestamp()
  where task_id = $1 and worker is null and available_at > clock_timestamp()`;
