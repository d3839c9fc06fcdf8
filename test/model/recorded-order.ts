/**
 * The recorded order against the model: every step is made in the model where it took effect, and after each the
 * rows must be what the model says. What was refused must have been right to refuse at some moment of its call.
 */
import { type Call, crewNames } from './actors.ts';
import type { Case } from './case.ts';
import { Impossible, ProcessModel } from './model.ts';
import { applyMove, type ClaimName, nameOfClaim } from './moves.ts';
import { compare } from './observe.ts';
import type { Stage } from './perform.ts';
import { createShadow, type LogRow, subjectOf } from './record.ts';
import { countEnd, Disagreement } from './sequential.ts';
import type { Tally } from './tally.ts';
import { toldOfOld } from './task-model.ts';

/** What took effect at once. */
interface Step {
  at: number;
  call: Call;
  rows: LogRow[];
}

/** A part of a call that changed nothing: true when that is right as things stand. */
interface Refusal {
  call: Call;
  what: string;
  isRight: () => boolean;
}

const byRow = new Set(['claim', 'claim one', 'beat', 'expire', 'pass deadline', 'make due']);

export function checkRecordedOrder(
  each: Case,
  stage: Stage,
  { start, log, calls, tally }: { start: LogRow[]; log: LogRow[]; calls: Call[]; tally: Tally },
): ProcessModel[] {
  const models = each.plans.map((plan) => new ProcessModel(plan, 0, tally.count));
  const shadows = models.map(() => createShadow());
  const done: string[] = [];
  const steps = stepsOf(log, calls);
  const refusals: Refusal[] = [];
  const completedBy = new Map<string, string>();

  function processOf(logged: LogRow): number {
    const { processId, taskId } = subjectOf(logged);
    const process = processId ? stage.processIds.indexOf(processId) : stage.places.get(taskId ?? '')?.process;
    if (process === undefined || process < 0)
      throw new Error(`a row of somebody else: ${JSON.stringify(logged)}`);
    return process;
  }

  function describeStep({ at, call, rows }: Step): string {
    const { actor, move, answers } = call;
    if (!byRow.has(move.move)) return `${at} ${actor}: ${JSON.stringify(move)} → ${answers.join('; ')}`;
    return `${at} ${actor}: ${move.move} ${nameOfClaim(claimOf(rows[0] as LogRow))}`;
  }

  function put(rows: LogRow[]): Set<number> {
    const touched = new Set<number>();
    for (const row of rows) {
      const process = processOf(row);
      shadows[process]?.put(row);
      touched.add(process);
    }
    return touched;
  }

  function fail(where: string, lines: string[]): never {
    throw new Disagreement(
      [`The model and the product disagree ${where}:`, ...lines, 'after the steps', ...done].join('\n'),
    );
  }

  function check(where: string, touched: Iterable<number>) {
    const lines = [...touched].flatMap((process) =>
      compare(models[process] as ProcessModel, (shadows[process] as (typeof shadows)[number]).rows()).map(
        (line) => `process ${process}: ${line}`,
      ),
    );
    if (lines.length > 0) fail(where, lines);
  }

  /** The claims that a row is about. */
  function claimOf({ row }: LogRow): ClaimName {
    const place = stage.places.get(row.task_id as string);
    if (!place) throw new Error(`a stranger: ${JSON.stringify(row)}`);
    return { ...place, no: row.claim_no as number };
  }

  function makeStep({ at, call, rows }: Step) {
    const { move, answers } = call;
    const [first] = rows as [LogRow];
    switch (move.move) {
      case 'claim':
      case 'claim one': {
        const name = claimOf(first);
        const model = models[name.process] as ProcessModel;
        const { no } = model.claim(name.task, { ...move, started: first.row.started_at !== null });
        const isTold = answers.some((answer) => answer.startsWith(`${nameOfClaim(name)},`));
        if (no !== name.no || !isTold) fail('in a claim', [`model: #${no}`, `told: ${answers.join('; ')}`]);
        return;
      }
      case 'beat': {
        const name = claimOf(first);
        const index = move.claims.findIndex((one) => nameOfClaim(one) === nameOfClaim(name));
        const answer = models[name.process]?.beat(
          name.task,
          name.no,
          move.claims[index] as { started: boolean },
        );
        if (answer !== answers[index])
          fail('in a heartbeat', [`model: ${answer}`, `told: ${answers[index]}`]);
        return;
      }
      case 'reap':
        makeReap(rows, call, at);
        return;
      case 'settle': {
        const { parts } = applyMove(models, move, at, tally.count);
        for (const [index, part] of parts.entries()) {
          const answer = answers[index] ?? '';
          // What this claim was not there for is judged by the record, which is read later.
          const wasCounted = part.length === 1 && part[0]?.startsWith('settled');
          if (wasCounted !== answer.startsWith('settled') || (wasCounted && part[0] !== answer))
            fail('in an outcome', [
              `word: ${JSON.stringify(move.words[index])}`,
              `model: ${part.join(' or ')}`,
              `told: ${answer}`,
            ]);
          if (!wasCounted) refuseWord(call, index);
          if (answer === 'settled completed') noteCompleted(call, index);
        }
        return;
      }
      default: {
        const { parts } = applyMove(models, move, at, tally.count);
        if (!parts[0]?.includes(answers[0] ?? ''))
          fail('in an answer', [`model: ${parts[0]}`, `told: ${answers[0]}`]);
      }
    }
  }

  function noteCompleted({ actor, move }: Call, index: number) {
    if (move.move !== 'settle') return;
    const { process, task, no } = move.words[index] as ClaimName;
    const name = `${process}/t${task}`;
    if (completedBy.has(name))
      fail('', [`${name} completed for ${completedBy.get(name)} and for ${actor}#${no}`]);
    completedBy.set(name, `${actor}#${no}`);
  }

  /** The reaper has an order of its own. It is seen in what became of them: what it cancelled came behind the failure. */
  function makeReap(rows: LogRow[], { answers }: Call, at: number) {
    const lost = new Map<string, ClaimName & { place: number }>();
    for (const row of rows) {
      if (row.place !== 'queue_items') continue;
      const name = claimOf(row);
      const before = shadows[name.process]?.item(row.row.task_id as string);
      const isOver = before?.worker && (row.op === 'DELETE' || row.row.worker === null);
      if (!isOver || lost.has(nameOfClaim(name))) continue;
      const end = rows.find((other) => other.place === 'tasks' && other.row.id === row.row.task_id)?.row;
      const isFailure = end?.state === 'failed' && !end.continue_on_error;
      const isBehind = row.op === 'DELETE' && end?.state === 'cancelled';
      lost.set(nameOfClaim(name), { ...name, place: isBehind ? 2 : isFailure ? 1 : 0 });
    }
    if (answers[0] !== String(lost.size)) fail('in a reap', [`seen: ${lost.size}`, `told: ${answers[0]}`]);
    const order = [...lost.values()].sort((one, other) => one.place - other.place);
    for (const { process, task, no } of order) {
      if (models[process]?.settle(task, no, { kind: 'lost' }, at) === null)
        throw new Impossible(`${process}/t${task}#${no} was reaped, but is not lost`);
    }
    tally.count('reap');
  }

  function refuseWord(call: Call, index: number) {
    if (call.move.move !== 'settle') return;
    const { process, task, no, word } = call.move.words[index] as (typeof call.move.words)[number];
    const answer = call.answers[index] ?? '';
    refusals.push({
      call,
      what: `${JSON.stringify(call.move.words[index])} was told ${answer}`,
      isRight() {
        const now = (models[process] as ProcessModel).task(task);
        return now.claim?.no !== no && toldOfOld(now, no, word).includes(answer);
      },
    });
  }

  /** Calls, and parts of calls, of which nothing is logged. */
  function refuse(call: Call) {
    const { move, answers } = call;
    switch (move.move) {
      case 'settle':
        for (const index of move.words.keys()) refuseWord(call, index);
        return;
      case 'claim':
      case 'expire':
      case 'pass deadline':
      case 'make due':
        return;
      case 'reap':
        if (answers[0] !== '0') fail('in a reap', [`nothing seen, told: ${answers[0]}`]);
        return;
      case 'beat':
        return;
      default:
        refusals.push({
          call,
          what: `${JSON.stringify(move)} was told ${answers[0]}`,
          isRight() {
            const tried = models.map((model, process) => (process === move.process ? model.clone() : model));
            const { parts } = applyMove(tried, move, call.upTo, () => {});
            return (
              parts[0]?.includes(answers[0] ?? '') === true &&
              tried[move.process]?.changes === models[move.process]?.changes
            );
          },
        });
    }
  }

  function refuseBeats(logged: LogRow[]) {
    const beaten = new Set(logged.map((row) => `${row.actor} ${nameOfClaim(claimOf(row))}`));
    for (const call of calls) {
      if (call.move.move !== 'beat') continue;
      for (const [index, name] of call.move.claims.entries()) {
        const answer = call.answers[index];
        const wasBeaten = answer !== 'gone' && answer !== 'busy';
        if (wasBeaten && !beaten.has(`${call.actor} ${nameOfClaim(name)}`))
          fail('in a heartbeat', [`${nameOfClaim(name)} was told ${answer}`]);
        if (!wasBeaten)
          refusals.push({
            call,
            what: `a heartbeat for ${nameOfClaim(name)} was told ${answer}`,
            isRight: () =>
              (models[name.process]?.task(name.task).claim?.no === name.no) === (answer === 'busy'),
          });
      }
    }
  }

  put(start);
  check('at the start', models.keys());
  const withRows = new Set(steps.map((step) => step.call));
  for (const call of calls) if (!withRows.has(call)) refuse(call);
  refuseBeats(steps.filter((step) => step.call.move.move === 'beat').flatMap((step) => step.rows));

  // A transaction that was under way when a call began may not have been seen by it, one at most of each actor.
  const firstStep = (after: number) => steps.filter((step) => step.at <= after).length - crewNames.length;
  const lastStep = (upTo: number) => steps.filter((step) => step.at <= upTo).length;
  const open = new Set<Refusal & { first: number; last: number }>();
  const add = () => {
    for (const refusal of refusals.splice(0))
      open.add({ ...refusal, first: firstStep(refusal.call.after), last: lastStep(refusal.call.upTo) });
  };
  const judge = (index: number) => {
    for (const refusal of open) {
      if (index < refusal.first) continue;
      if (refusal.isRight()) {
        open.delete(refusal);
        tally.count('refused, at once with others');
      } else if (index >= refusal.last) fail('in a refusal', [`${refusal.call.actor}: ${refusal.what}`]);
    }
  };
  add();
  judge(0);
  for (const [index, step] of steps.entries()) {
    const { call } = step;
    done.push(describeStep(step));
    try {
      makeStep(step);
    } catch (error) {
      if (error instanceof Impossible) fail('', [error.message]);
      throw error;
    }
    check('in what is seen afterwards', put(step.rows));
    add();
    judge(index + 1);
    tally.count('moves, at once with others');
    if (log.some((row) => row.seq > call.after && row.seq < step.at && row.actor !== call.actor))
      tally.count('moves that others came between');
  }
  for (const refusal of open) fail('in a refusal', [`${refusal.call.actor}: ${refusal.what}`]);
  for (const [process, model] of models.entries()) {
    if (!model.hasEnded() || model.unfinished() > 0) fail('', [`process ${process} has not ended`]);
    countEnd(model, tally);
  }
  return models;
}

/** Rows of one transaction stand at its last one, but for those of claims and the like, which stand alone. */
function stepsOf(log: LogRow[], calls: Call[]): Step[] {
  const steps = new Map<string, Step>();
  for (const row of log) {
    const call = calls.find(
      (each) => each.actor === row.actor && each.after < row.seq && row.seq <= each.upTo,
    );
    if (!call) throw new Error(`nobody did this: ${JSON.stringify(row)}`);
    const key = byRow.has(call.move.move) ? `row ${row.seq}` : row.xid;
    const step = steps.get(key) ?? { at: row.seq, call, rows: [] };
    steps.set(key, { ...step, at: row.seq, rows: [...step.rows, row] });
  }
  return [...steps.values()].sort((one, other) => one.at - other.at);
}
