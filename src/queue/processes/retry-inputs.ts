/**
 * Retry with other inputs: a task that failed gets another one than its definition says. Only what runs has an input
 * of its own; the list of an `each`, the input of a process, a time, an event are of the definition.
 */
import type { Json } from '../../core/json.ts';
import type { Transaction } from '../../database/connection.ts';
import { againSql } from './revive.ts';

export interface InputProblem {
  task: string;
  code: 'not_failed' | 'no_input';
  message: string;
}

/** The names in the sentence that says which there are. */
const namesMax = 10;

/**
 * The tasks of process $1 that failed, with what keeps them from having another input. Items of an `each` that is
 * thought about again are not among them: they will be others.
 */
const changeableSql = `with recursive ${againSql}
     select task.id, task.name, task.ordinal,
       case when planned.task ? 'process' then 'starts a process'
         when planned.task ? 'sleep' then 'sleeps'
         when planned.task ? 'wait_for' then 'waits for an event'
         when task.item_of is null and (planned.task ? 'each' or planned.task ? 'matrix') then 'has items, which have inputs of their own'
       end as instead
     from skipjack.processes as process
     join skipjack.definitions as definition on definition.id = process.definition_id
     join skipjack.tasks as task on task.process_id = process.id
     cross join lateral (select definition.plan -> 'tasks' -> (coalesce(task.item_of, task.ordinal) - 1) as task offset 0) as planned
     where process.id = $1 and task.state = 'failed'
       and case when task.item_of is null then not task.continue_on_error
         else task.item_of in (select ordinal from again) and task.item_of not in (select ordinal from waiting) end`;

/** By ids of tasks. */
export type InputChanges = [taskId: string, input: Json][];

export async function findChanges(
  tx: Transaction,
  id: string,
  inputs: [name: string, input: Json][],
): Promise<{ changes: InputChanges; problems: InputProblem[] }> {
  const asked = inputs.map(([name]) => name);
  const { rows } = await tx.query<{ id: string; name: string; instead: string | null; asked: boolean }>(
    `select id, name, instead, asked
     from (
       (select *, true as asked from (${changeableSql}) as failed where name = any ($2::text[]))
       union all
       (select *, false from (${changeableSql}) as failed where instead is null order by ordinal limit ${namesMax})
     ) as found
     order by ordinal`,
    [id, asked],
  );
  const others = rows.filter((row) => !row.asked);
  const choice =
    others.length === 0
      ? 'None of those that failed has an input that can be changed'
      : `The input can be changed of ${others.map(({ name }) => `"${name}"`).join(', ')}`;
  const changes: InputChanges = [];
  const problems: InputProblem[] = [];
  for (const [task, input] of inputs) {
    const row = rows.find((each) => each.asked && each.name === task);
    if (!row) {
      problems.push({ task, code: 'not_failed', message: `"${task}" is no task that failed. ${choice}.` });
    } else if (row.instead !== null) {
      const message = `"${task}" has no input of its own: it ${row.instead}. ${choice}.`;
      problems.push({ task, code: 'no_input', message });
    } else changes.push([row.id, input]);
  }
  return { changes, problems };
}

/** Servers that know only the inputs of definitions would hand those out: the database is closed to them. */
export async function changeInputs(tx: Transaction, changes: InputChanges): Promise<void> {
  await tx.query(
    `with closed as (
       update skipjack.compatibility set compatible_from = 13 where compatible_from < 13
     )
     update skipjack.tasks as task set input = $1::jsonb -> task.id::text
     where task.id = any (array(select id::uuid from jsonb_object_keys($1::jsonb) as given (id)))`,
    [JSON.stringify(Object.fromEntries(changes))],
  );
}
