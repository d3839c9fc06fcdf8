/**
 * Rules of what an engine thinks about: parked tasks and what wakes them, the inbox, items of `each`, processes that
 * were started by tasks, events.
 */

/** The one that a parked task waits for: attached, and by now perhaps one of several that its task has started. */
const childOf = (task: string) =>
  `child.parent_process_id = ${task}.process_id and child.parent_task_id = ${task}.id and not child.detached`;

const thoughtOf = (task: string, kinds: string) =>
  `exists (
        select from skipjack.engine_items as thought
        where thought.process_id = ${task}.process_id and thought.task_id = ${task}.id and thought.kind in (${kinds}))`;

export const thinkingRules: Record<string, string> = {
  a_parked_task_is_on_no_queue: `
    select task.id::text as subject, format('on the queue, though it waits for %s', task.waits_for) as detail
    from skipjack.tasks as task
    join skipjack.queue_items as item on item.task_id = task.id
    where task.waits_for is not null`,
  a_parked_task_will_be_woken: `
    select task.id::text as subject, format('waits for %s, and nothing will ever wake it', task.waits_for) as detail
    from skipjack.tasks as task
    where task.waits_for is not null and not case task.waits_for
      when 'engine' then ${thoughtOf('task', `'think'`)}
      when 'items' then ${thoughtOf('task', `'items'`)} or exists (
        select from skipjack.item_lists as list
        where list.process_id = task.process_id and list.ordinal = task.ordinal and list.unended > 0)
      when 'process' then ${thoughtOf('task', `'child_ended'`)} or exists (
        select from skipjack.processes as child
        where ${childOf('task')} and (child.state in ('running', 'failing', 'cancelling') or (child.state = 'failed' and exists (
          select from skipjack.engine_items as thought where thought.process_id = child.id and thought.kind = 'retry'))))
      when 'time' then ${thoughtOf('task', `'timer'`)}
      when 'event' then ${thoughtOf('task', `'event'`)} or exists (
        select from skipjack.event_waits as wait where wait.task_id = task.id)
      else false end`,
  a_thought_finds_the_task_it_is_about: `
    select thought.process_id::text || coalesce(' ' || thought.task_id, '') as subject,
      format('thought %s of kind %s is about a task that %s', thought.id, thought.kind,
        case when task.id is null then 'is none of its process' else 'is ' || task.state || coalesce(', waiting for ' || task.waits_for, '') end) as detail
    from skipjack.engine_items as thought
    left join skipjack.tasks as task on task.id = thought.task_id and task.process_id = thought.process_id
    where case thought.kind
      when 'think' then task.waits_for is distinct from 'engine'
      when 'event' then task.waits_for is distinct from 'event'
      when 'timer' then coalesce(task.waits_for, '') not in ('time', 'event')
      when 'items' then task.id is null
      when 'child_ended' then task.id is null
      else false end`,
  an_ended_process_gives_no_thoughts: `
    select thought.process_id::text as subject, format('thought %s of kind %s, but the process %s', thought.id, thought.kind,
      coalesce('is ' || process.state, 'does not exist')) as detail
    from skipjack.engine_items as thought
    left join skipjack.processes as process on process.id = thought.process_id
    where process.id is null
      -- Those come from its parent: what has ended is retried with it, or was told to end too late.
      or (process.state in ('completed', 'failed', 'cancelled') and thought.kind not in ('retry', 'cancel'))`,
  a_thought_is_postponed_only_while_its_process_is_paused: `
    select thought.process_id::text as subject, format('thought %s of kind %s waits for a resume, but the process is %s and %s',
      thought.id, thought.kind, process.state, case when process.paused then 'cannot be resumed' else 'not paused' end) as detail
    from skipjack.engine_items as thought
    join skipjack.processes as process on process.id = thought.process_id
    where thought.available_at = 'infinity' and not (process.paused and process.state in ('running', 'failing'))`,
  a_list_agrees_with_its_items: `
    select list.task_id::text as subject,
      format('items %s to %s: counts %s unended and %s failed; there are %s, %s unended, %s failed, %s cancelled; %s of task %s',
        list.first_ordinal, list.last_ordinal, list.unended, list.failed, items.present, items.unended, items.failed,
        items.cancelled, coalesce(task.state, 'nothing'), list.ordinal) as detail
    from skipjack.item_lists as list
    left join skipjack.tasks as task
      on task.id = list.task_id and task.process_id = list.process_id and task.ordinal = list.ordinal
    cross join lateral (
      select count(*) as present, count(*) filter (where item.state in ('pending', 'active')) as unended,
        count(*) filter (where item.state = 'failed') as failed, count(*) filter (where item.state = 'cancelled') as cancelled
      from skipjack.tasks as item
      where item.process_id = list.process_id and item.ordinal between list.first_ordinal and list.last_ordinal
        and item.item_of = list.ordinal and item.item_index = item.ordinal - list.first_ordinal
    ) as items
    where task.id is null or items.present <> list.last_ordinal - list.first_ordinal + 1 or items.unended <> list.unended
      or list.failed not between items.failed and items.failed + items.cancelled`,
  an_item_is_in_a_list: `
    select item.id::text as subject, format('item %s of task %s of process %s, in no list', item.item_index, item.item_of, item.process_id) as detail
    from skipjack.tasks as item
    where item.item_of is not null and not exists (
      select from skipjack.item_lists as list
      where list.process_id = item.process_id and list.ordinal = item.item_of
        and item.ordinal between list.first_ordinal and list.last_ordinal)`,
  a_list_passes_over_no_item: `
    select item.id::text as subject, format('pending, but the list of task %s goes on from item %s', list.ordinal,
      list.next_ordinal - list.first_ordinal) as detail
    from skipjack.item_lists as list
    join skipjack.tasks as item on item.process_id = list.process_id
      and item.ordinal between list.first_ordinal and least(list.next_ordinal - 1, list.last_ordinal)
    where item.state = 'pending'`,
  a_list_goes_on: `
    select list.task_id::text as subject,
      case when task.state <> 'cancelled' and task.waits_for is distinct from 'items'
        then format('%s, though %s of its items have not ended', task.state, list.unended)
        else format('%s of %s unended items are active; %s may be at once', items.active, list.unended, list.concurrency) end as detail
    from skipjack.item_lists as list
    join skipjack.tasks as task on task.id = list.task_id
    join skipjack.processes as process on process.id = list.process_id
    cross join lateral (
      select count(*) as active
      from skipjack.tasks as item
      where item.process_id = list.process_id and item.ordinal between list.first_ordinal and list.last_ordinal
        and item.state = 'active'
    ) as items
    where list.unended > 0 and ((task.state <> 'cancelled' and task.waits_for is distinct from 'items')
      or items.active > list.concurrency
      or (items.active < least(list.concurrency, list.unended) and not (
        -- No more are begun: the engine stops those that wait.
        list.failed > list.failures_max and ${thoughtOf('task', `'items'`)})))`,
  an_attached_process_has_a_task_that_waits_for_it: `
    select child.id::text as subject, case when not child.finishes then 'ends without an engine, which is to tell the task that started it'
      else format('%s, but the task that started it %s', child.state,
        coalesce('is ' || task.state || coalesce(', waiting for ' || task.waits_for, ''), 'does not exist')) end as detail
    from skipjack.processes as child
    left join skipjack.tasks as task on task.id = child.parent_task_id and task.process_id = child.parent_process_id
    where child.parent_task_id is not null and not child.detached and child.state in ('running', 'failing', 'cancelling')
      and (task.waits_for is distinct from 'process' or not child.finishes)`,
  a_task_waits_for_one_process: `
    select child.parent_task_id::text as subject, format('waits for %s processes at once', count(*)) as detail
    from skipjack.processes as child
    where child.parent_task_id is not null and not child.detached and child.state in ('running', 'failing', 'cancelling')
    group by child.parent_task_id
    having count(*) > 1`,
  who_waits_for_an_event_is_a_parked_task: `
    select wait.task_id::text as subject, format('waits for the event "%s", but it %s', wait.name,
      coalesce('is ' || task.state || coalesce(', waiting for ' || task.waits_for, ''), 'is no task of process ' || wait.process_id)) as detail
    from skipjack.event_waits as wait
    left join skipjack.tasks as task on task.id = wait.task_id and task.process_id = wait.process_id
    where task.waits_for is distinct from 'event'`,
  nobody_waits_for_an_event_that_is_kept: `
    select event.id::text as subject, format('"%s" is kept, though task %s waits for it', event.name, wait.task_id) as detail
    from skipjack.events as event
    join skipjack.event_waits as wait on wait.name = event.name and wait.key = event.key
    where event.taken_at is null`,
};
