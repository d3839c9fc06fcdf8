/** The whole observable state of a process, told in the same words by the model and by the rows. */
import type pg from 'pg';
import type { ProcessModel } from './model.ts';
import type { Stage } from './perform.ts';
import { isLive, type Task } from './task-model.ts';

/** Rows as Postgres writes them into JSON. */
export interface Rows {
  process: { state: string; paused: boolean; unfinished: number; tasks: number; revision: number };
  tasks: {
    id: string;
    ordinal: number;
    state: string;
    unmet: number;
    claim_no: number;
    failures: number;
    losses: number;
    worker: string | null;
    output: string | null;
    error: { code: string } | null;
  }[];
  items: {
    task_id: string;
    claim_no: number;
    failures: number;
    losses: number;
    worker: string | null;
    started_at: string | null;
    cancel_requested: boolean;
    overdue: boolean;
    held: boolean;
    is_later: boolean;
  }[];
  letters: { task_id: string; reason: string; replayed_at: string | null; replays: number }[];
  attempts: { task_id: string; claim_no: number; attempt: number; outcome: string }[];
  events: { event: string }[];
}

/** One line for the process, one for each task. */
export function describeModel(model: ProcessModel): string[] {
  return [
    describeProcess({
      ...model,
      unfinished: model.unfinished(),
      tasks: model.tasks.length,
      events: model.events,
    }),
    ...model.tasks.map((task) => describeTask(model, task)),
  ];
}

function describeProcess(process: {
  state: string;
  paused: boolean;
  unfinished: number;
  tasks: number;
  events: string[];
}): string {
  // Of one that is over, or about to be, the flag says nothing.
  const isPaused = process.paused && ['running', 'failing'].includes(process.state);
  return `${process.state}${isPaused ? ', paused' : ''}, ${process.unfinished} of ${process.tasks} to go; ${process.events.join(' ')}`;
}

function describeTask(model: ProcessModel, task: Task): string {
  const { claim } = task;
  const line = claim
    ? `claimed by ${claim.worker}${claim.started ? ', started' : ''}${claim.stopAsked ? ', to stop' : ''}${claim.overdue ? ', overdue' : ''}`
    : `waits${task.later ? ' for its time' : ''}${model.paused ? ', held' : ''}`;
  return [
    `${task.plan.ordinal} ${task.state} #${task.claimNo}`,
    `${task.failures} failures ${task.losses} losses`,
    task.state === 'pending' ? `${model.unmet(task)} needs to go` : '',
    task.state === 'active' ? line : '',
    isLive(task) ? '' : `by ${task.endedBy}: ${task.output ?? task.error}`,
    task.letter
      ? `letter ${task.letter.reason} ${task.letter.replayed ? 'replayed' : 'waits'} ${task.letter.replays}`
      : '',
    task.attempts.map((each) => `#${each.claimNo} ${each.attempt} ${each.outcome}`).join(', '),
  ].join(' | ');
}

export function describeRows(rows: Rows): string[] {
  const items = new Map(rows.items.map((item) => [item.task_id, item]));
  const letters = new Map(rows.letters.map((letter) => [letter.task_id, letter]));
  const attempts = new Map<string, string[]>();
  for (const { task_id, claim_no, attempt, outcome } of rows.attempts)
    attempts.set(task_id, [...(attempts.get(task_id) ?? []), `#${claim_no} ${attempt} ${outcome}`]);
  return [
    describeProcess({ ...rows.process, events: rows.events.map((event) => event.event) }),
    ...rows.tasks.map((task) => {
      const item = items.get(task.id);
      const letter = letters.get(task.id);
      const counted = item ?? task;
      return [
        `${task.ordinal} ${task.state} #${counted.claim_no}`,
        `${counted.failures} failures ${counted.losses} losses`,
        task.state === 'pending' ? `${task.unmet} needs to go` : '',
        item || task.state === 'active' ? describeItem(item) : '',
        task.state === 'pending' || task.state === 'active'
          ? ''
          : `by ${task.worker}: ${task.output ?? task.error?.code ?? null}`,
        letter
          ? `letter ${letter.reason} ${letter.replayed_at ? 'replayed' : 'waits'} ${letter.replays}`
          : '',
        (attempts.get(task.id) ?? []).join(', '),
      ].join(' | ');
    }),
  ];
}

function describeItem(item: Rows['items'][number] | undefined): string {
  if (!item) return 'nowhere';
  if (item.worker === null)
    return `waits${item.is_later ? ' for its time' : ''}${item.held ? ', held' : ''}${item.cancel_requested ? ', to stop' : ''}`;
  return `claimed by ${item.worker}${item.started_at ? ', started' : ''}${item.cancel_requested ? ', to stop' : ''}${item.overdue ? ', overdue' : ''}`;
}

/** A row for each process of the case. */
const readRows = `
  select
    (select row_to_json(process) from (
      select state, paused, unfinished, tasks, revision from skipjack.processes where id = wanted.id) as process) as process,
    (select coalesce(json_agg(task order by ordinal), '[]') from (
      select id, ordinal, state, unmet, claim_no, failures, losses, worker, output, error
      from skipjack.tasks where process_id = wanted.id) as task) as tasks,
    (select coalesce(json_agg(item), '[]') from (
      select item.task_id, item.claim_no, item.failures, item.losses, item.worker, item.started_at, item.cancel_requested,
        item.overdue, item.held, item.available_at > clock_timestamp() + interval '1 minute' as is_later
      from skipjack.tasks as task join skipjack.queue_items as item on item.task_id = task.id
      where task.process_id = wanted.id) as item) as items,
    (select coalesce(json_agg(letter), '[]') from (
      select letter.task_id, letter.reason, letter.replayed_at, letter.replays
      from skipjack.tasks as task join skipjack.dead_letters as letter on letter.task_id = task.id
      where task.process_id = wanted.id) as letter) as letters,
    (select coalesce(json_agg(made order by claim_no), '[]') from (
      select attempt.task_id, attempt.claim_no, attempt.attempt, attempt.outcome
      from skipjack.tasks as task join skipjack.attempts as attempt on attempt.task_id = task.id
      where task.process_id = wanted.id) as made) as attempts,
    (select coalesce(json_agg(happened order by id), '[]') from (
      select id, event from skipjack.process_events where process_id = wanted.id) as happened) as events
  from unnest($1::uuid[]) with ordinality as wanted (id, place)
  order by wanted.place`;

/** Answers the rows of each process of a case. */
export type Observer = (stage: Stage) => Promise<Rows[]>;

/** Over a connection of its own, with a statement that is planned once: it runs after every move. */
export async function createObserver(client: pg.Client): Promise<Observer> {
  await client.query('set plan_cache_mode = force_generic_plan');
  return async ({ processIds }) =>
    (await client.query<Rows>({ name: 'observe', text: readRows, values: [processIds] })).rows;
}

/** Lines that differ. */
export function compare(model: ProcessModel, rows: Rows): string[] {
  const wanted = describeModel(model);
  const found = describeRows(rows);
  return Array.from({ length: Math.max(wanted.length, found.length) }, (_, index) => index)
    .filter((index) => wanted[index] !== found[index])
    .map((index) => `model:    ${wanted[index]}\n   database: ${found[index]}`);
}
