/**
 * The auditor: what must be true of the tables whenever no transaction is under way, and cannot be said by a
 * CHECK because it spans rows. Each rule is a query that finds the rows which break it.
 *
 * It runs after every test that touches a database, in `skipjack doctor`, and reads everything that is kept.
 */
import type pg from 'pg';
import { lossesMax } from '../core/task.ts';

export interface Finding {
  rule: string;
  /** The task, worker or key it is about. */
  subject: string;
  detail: string;
}

/** Findings shown of each rule; there may be more. */
const findingsPerRuleMax = 20;

export const auditRules: Record<string, string> = {
  an_active_task_is_on_the_queue: `
    select task.id::text as subject, 'active, but has no queue item: nothing will ever run it' as detail
    from skipjack.tasks as task
    where task.state = 'active'
      and not exists (select from skipjack.queue_items as item where item.task_id = task.id)`,
  a_queue_item_has_an_active_task: `
    select item.task_id::text as subject, 'on the queue, but its task ' || coalesce('is ' || task.state, 'does not exist') as detail
    from skipjack.queue_items as item
    left join skipjack.tasks as task on task.id = item.task_id
    where task.state is distinct from 'active'`,
  a_queue_item_agrees_with_its_task: `
    select item.task_id::text as subject,
      format('the item says queue %s, priority %s, timeout %s; the task %s, %s, %s', item.queue, item.priority,
        item.timeout_ms, task.queue, task.priority, task.timeout_ms) as detail
    from skipjack.queue_items as item
    join skipjack.tasks as task on task.id = item.task_id
    where (item.queue, item.priority) <> (task.queue, task.priority) or item.timeout_ms is distinct from task.timeout_ms`,
  a_claim_number_never_goes_down: `
    select task.id::text as subject, format('attempt %s was recorded, but the task is at claim %s',
      attempt.claim_no, coalesce(item.claim_no, task.claim_no)) as detail
    from skipjack.attempts as attempt
    join skipjack.tasks as task on task.id = attempt.task_id
    left join skipjack.queue_items as item on item.task_id = task.id
    where attempt.claim_no > coalesce(item.claim_no, task.claim_no)`,
  a_live_task_has_attempts_left: `
    select item.task_id::text as subject,
      format('%s failures of %s, %s losses: it should have ended', item.failures,
        coalesce((task.retry ->> 'attempts')::integer, 1), item.losses) as detail
    from skipjack.queue_items as item
    join skipjack.tasks as task on task.id = item.task_id
    where item.failures >= coalesce((task.retry ->> 'attempts')::integer, 1) or item.losses >= ${lossesMax}`,
  failures_and_losses_are_recorded: `
    select task.id::text as subject,
      format('counts %s failures and losses, but %s attempts are recorded', counted.tries, count(attempt.claim_no)) as detail
    from skipjack.tasks as task
    left join skipjack.queue_items as item on item.task_id = task.id
    cross join lateral (select coalesce(item.failures + item.losses, task.failures + task.losses) as tries) as counted
    left join skipjack.attempts as attempt on attempt.task_id = task.id and attempt.outcome <> 'cancelled'
    where counted.tries > 0
    group by task.id, counted.tries
    having count(attempt.claim_no) < counted.tries`,
  a_recorded_attempt_has_a_task: `
    select attempt.task_id::text as subject, format('attempt at claim %s of a task that does not exist', attempt.claim_no) as detail
    from skipjack.attempts as attempt
    where not exists (select from skipjack.tasks as task where task.id = attempt.task_id)`,
  a_waiting_dead_letter_is_of_a_failed_task: `
    select letter.task_id::text as subject, 'not replayed, but its task ' || coalesce('is ' || task.state, 'does not exist') as detail
    from skipjack.dead_letters as letter
    left join skipjack.tasks as task on task.id = letter.task_id
    where (letter.replayed_at is null and task.state is distinct from 'failed') or task.id is null`,
  a_replayed_dead_letter_was_revived: `
    select letter.task_id::text as subject, 'marked as replayed, but its task is failed' as detail
    from skipjack.dead_letters as letter
    join skipjack.tasks as task on task.id = letter.task_id
    where letter.replayed_at is not null and task.state = 'failed'`,
  an_ended_task_is_after_its_creation: `
    select task.id::text as subject, format('created %s, finished %s', task.created_at, task.finished_at) as detail
    from skipjack.tasks as task
    where task.finished_at < task.created_at`,
  an_idempotency_key_has_made_something: `
    select key.scope || ' ' || key.key as subject, 'made task ' || key.made_id || ', which does not exist' as detail
    from skipjack.idempotency_keys as key
    where key.scope = 'task' and not exists (select from skipjack.tasks as task where task.id = key.made_id)`,
};

/** Everything that is wrong, at most 20 findings a rule; an empty list is what one hopes for. */
export async function auditDatabase(client: Pick<pg.ClientBase, 'query'> | pg.Pool): Promise<Finding[]> {
  const queries = Object.entries(auditRules).map(
    ([rule, sql]) =>
      `select '${rule}' as rule, subject, detail from (${sql} limit ${findingsPerRuleMax}) as found`,
  );
  // One statement, one snapshot: between two of them a task may rightly have moved.
  const { rows } = await (client as pg.Pool).query<Finding>(
    queries.map((query) => `(${query})`).join(' union all '),
  );
  return rows;
}
