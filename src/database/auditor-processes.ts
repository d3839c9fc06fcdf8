/**
 * Rules of processes: their counters, what their states allow, and that something will move them.
 *
 * A task is *spared* by a process that stops if it is to run just then: a clean-up. What of its needs has ended is
 * then read from the plan by an engine, not from its counter.
 */

/** Of `task` and `process`. An item is spared with its `each`, whose row is `owner`. */
const isSpared = `((process.state = 'failing' and (task.runs_on_failure or coalesce(owner.runs_on_failure, false)))
        or (process.state = 'cancelling' and (task.runs_on_cancel or coalesce(owner.runs_on_cancel, false))))`;

const joinOwner = `left join skipjack.tasks as owner
      on owner.process_id = task.process_id and owner.ordinal = task.item_of and task.item_of is not null`;

export const processRules: Record<string, string> = {
  a_task_of_a_process_has_a_process: `
    select task.id::text as subject, format('belongs to process %s, which does not exist', task.process_id) as detail
    from skipjack.tasks as task
    where task.process_id is not null
      and not exists (select from skipjack.processes as process where process.id = task.process_id)`,
  a_queue_item_knows_its_process: `
    select item.task_id::text as subject, format('the item says process %s, the task %s', item.process_id, task.process_id) as detail
    from skipjack.queue_items as item
    join skipjack.tasks as task on task.id = item.task_id
    where item.process_id is distinct from task.process_id`,
  a_process_runs_a_definition: `
    select process.id::text as subject, format('its definition %s does not exist', process.definition_id) as detail
    from skipjack.processes as process
    where not exists (select from skipjack.definitions where id = process.definition_id)`,
  a_process_has_the_tasks_it_counts: `
    select process.id::text as subject,
      format('counts %s tasks, %s of them unfinished; there are %s and %s', process.tasks, process.unfinished,
        counted.tasks, counted.unfinished) as detail
    from skipjack.processes as process
    cross join lateral (
      select count(*) as tasks, count(*) filter (where task.state in ('pending', 'active')) as unfinished
      from skipjack.tasks as task where task.process_id = process.id
    ) as counted
    where (process.tasks, process.unfinished) <> (counted.tasks, counted.unfinished)`,
  a_pending_task_counts_its_unended_needs: `
    select task.id::text as subject, format('counts %s unmet needs; %s have not ended', task.unmet, coalesce(needs.unended, 0)) as detail
    from skipjack.tasks as task
    join skipjack.processes as process on process.id = task.process_id
    ${joinOwner}
    left join (
      select need.process_id, dependent.ordinal, count(*) as unended
      from skipjack.tasks as need
      cross join lateral unnest(need.dependents) as dependent (ordinal)
      where need.state in ('pending', 'active')
      group by need.process_id, dependent.ordinal
    ) as needs on needs.process_id = task.process_id and needs.ordinal = task.ordinal
    where task.state in ('pending', 'active') and not ${isSpared}
      -- An item waits for its turn, as if that were a need.
      and task.unmet <> case when task.item_of is null then coalesce(needs.unended, 0) when task.state = 'pending' then 1 else 0 end`,
  a_task_that_may_not_run_is_not_live: `
    select distinct task.id::text as subject, format('%s, but it needs "%s", which is %s', task.state, need.name, need.state) as detail
    from skipjack.tasks as need
    cross join lateral unnest(need.dependents) as dependent (ordinal)
    join skipjack.tasks as task on task.process_id = need.process_id and task.ordinal = dependent.ordinal
    where (need.state = 'cancelled' or (need.state = 'failed' and not need.continue_on_error))
      and task.state in ('pending', 'active', 'completed') and not task.runs_on_failure and not task.runs_on_cancel`,
  a_task_behind_a_skipped_one_is_thought_about: `
    select distinct task.id::text as subject, format('%s without a thought, but it needs "%s", which was skipped', task.state, need.name) as detail
    from skipjack.tasks as need
    cross join lateral unnest(need.dependents) as dependent (ordinal)
    join skipjack.tasks as task on task.process_id = need.process_id and task.ordinal = dependent.ordinal
    where need.state = 'skipped' and task.state in ('pending', 'active', 'completed') and not task.thinks`,
  a_skipped_task_has_nothing_to_say: `
    select task.id::text as subject, 'skipped, but it has an output or an error' as detail
    from skipjack.tasks as task
    where task.state = 'skipped' and (task.output is not null or task.error is not null)`,
  a_live_process_has_an_active_task: `
    select process.id::text as subject, case when process.unfinished = 0 then 'nothing is unfinished, but no engine was told: it will never end'
      else 'not ended, but none of its tasks is active: nothing will ever move it' end as detail
    from skipjack.processes as process
    where process.state in ('running', 'failing', 'cancelling')
      and not exists (select from skipjack.tasks as task where task.process_id = process.id and task.state = 'active')
      and not exists (
        select from skipjack.engine_items as thought
        where thought.process_id = process.id and thought.kind = case when process.unfinished = 0 then 'finish' else 'cleanup' end)`,
  a_stopping_process_only_waits_for_workers: `
    select task.id::text as subject, format('%s, though process %s is %s', task.state, process.id, process.state) as detail
    from skipjack.processes as process
    join skipjack.tasks as task on task.process_id = process.id
    ${joinOwner}
    left join skipjack.queue_items as item on item.task_id = task.id
    where (process.state = 'cancelling' or (process.state = 'failing' and process.fail_fast)) and not ${isSpared}
      and (task.state = 'pending' or (task.state = 'active' and case coalesce(task.waits_for, '')
        -- It is being sent its event, or that lies in the inbox.
        when 'event' then not exists (
          select from skipjack.engine_items as thought where thought.process_id = process.id and thought.task_id = task.id and thought.kind in ('event', 'timer'))
        -- The process that it has started goes on until it was told.
        when 'process' then exists (
          select from skipjack.processes as child
          where child.parent_process_id = process.id and child.parent_task_id = task.id and not child.detached
            and (child.state in ('running', 'failing') or (child.state = 'failed' and exists (
              select from skipjack.engine_items as thought where thought.process_id = child.id and thought.kind = 'retry')))
            and not exists (
              select from skipjack.engine_items as thought where thought.process_id = child.id and thought.kind = 'cancel'))
        else not coalesce(item.cancel_requested, false) end))`,
  a_process_ended_as_its_tasks_did: `
    select process.id::text as subject, format('%s, with %s failed and %s cancelled tasks%s', process.state,
      counted.failed, counted.cancelled, case when result.error is not null then ', and an error of its own' end) as detail
    from skipjack.processes as process
    left join skipjack.process_results as result on result.process_id = process.id
    cross join lateral (
      select count(*) filter (where task.state = 'failed' and not task.continue_on_error) as failed,
        count(*) filter (where task.state = 'cancelled') as cancelled
      from skipjack.tasks as task where task.process_id = process.id and task.item_of is null
    ) as counted
    where (process.state in ('running', 'completed') and (counted.failed + counted.cancelled > 0 or result.error is not null))
      or (process.state in ('failing', 'failed') and counted.failed = 0 and result.error is null)`,
  a_result_is_of_a_process_that_ended_so: `
    select result.process_id::text as subject, format('has a result with%s%s, but it %s',
      case when result.output is not null then ' an output' end,
      case when result.failure_process_id is not null then ' a process started on failure' end,
      coalesce('is ' || process.state, 'does not exist')) as detail
    from skipjack.process_results as result
    left join skipjack.processes as process on process.id = result.process_id
    where process.id is null or (result.output is not null and process.state <> 'completed')
      or (result.failure_process_id is not null and process.state <> 'failed')`,
  an_item_is_held_while_its_process_is_paused: `
    select item.task_id::text as subject, format('held is %s, but its process %s', item.held,
      case when process.paused then 'is paused' else 'is not paused' end) as detail
    from skipjack.queue_items as item
    join skipjack.processes as process on process.id = item.process_id
    where item.held <> (process.paused and process.state in ('running', 'failing')) and not item.cancel_requested
    union all
    select item.task_id::text, 'held, but it belongs to no process' from skipjack.queue_items as item
    where item.held and item.process_id is null`,
};
