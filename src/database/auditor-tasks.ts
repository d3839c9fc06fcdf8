/** Rules of tasks, whether they stand alone or not: their queue items, attempts, logs, dead letters and keys. */
import { lossesMax } from '../core/task.ts';

export const taskRules: Record<string, string> = {
  an_active_task_is_on_the_queue: `
    select task.id::text as subject, 'active, but has no queue item: nothing will ever run it' as detail
    from skipjack.tasks as task
    -- What is parked waits for something else than a worker: see auditor-thinking.ts.
    where task.state = 'active' and task.waits_for is null
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
  a_log_is_of_a_claim_that_was: `
    select chunk.task_id::text as subject, case when task.id is null then format('chunk %s of its log, but there is no such task', chunk.id)
      else format('chunk %s says claim %s of process %s; the task is at claim %s of process %s', chunk.id, chunk.claim_no,
        chunk.process_id, coalesce(item.claim_no, task.claim_no), task.process_id) end as detail
    from skipjack.task_logs as chunk
    left join skipjack.tasks as task on task.id = chunk.task_id
    left join skipjack.queue_items as item on item.task_id = chunk.task_id
    where task.id is null or chunk.process_id is distinct from task.process_id
      or chunk.claim_no > coalesce(item.claim_no, task.claim_no)`,
  a_log_only_grows: `
    select chunk.task_id::text as subject,
      format('chunk %s (claim %s, from line %s, %s bytes) follows chunk %s, which ends with line %s of claim %s and %s bytes',
        chunk.id, chunk.claim_no, chunk.first_line, chunk.bytes_so_far, chunk.id_before, chunk.next_line - 1,
        chunk.claim_before, chunk.bytes_before) as detail
    from (
      select *, lag(id) over log as id_before, lag(claim_no) over log as claim_before,
        lag(first_line + line_count) over log as next_line, lag(bytes_so_far) over log as bytes_before
      from skipjack.task_logs
      window log as (partition by task_id order by claim_no, first_line)
    ) as chunk
    where chunk.id < chunk.id_before
      or (chunk.claim_no = chunk.claim_before and (chunk.first_line < chunk.next_line or chunk.bytes_so_far < chunk.bytes_before))`,
  a_chunk_has_the_lines_it_counts: `
    select chunk.task_id::text as subject,
      format('chunk %s counts %s lines and has %s', chunk.id, chunk.line_count, jsonb_array_length(chunk.lines)) as detail
    from skipjack.task_logs as chunk
    where chunk.line_count <> jsonb_array_length(chunk.lines)`,
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
    select key.scope || ' ' || key.key as subject, format('made %s %s, which does not exist', key.scope, key.made_id) as detail
    from skipjack.idempotency_keys as key
    where case key.scope when 'task' then not exists (select from skipjack.tasks where id = key.made_id)
      when 'event' then not exists (select from skipjack.events where id = key.made_id)
      else not exists (select from skipjack.processes where id = key.made_id) end`,
};
