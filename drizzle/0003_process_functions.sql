-- Processes: the functions that start them and the views that show them.
--
--   storage                             the row that counts is rewritten by every settle of its process
--   skipjack.take_idempotency_keys(…)   keys of many requests at once, for tasks and processes
--   skipjack.enqueue_tasks(jsonb)       as before, over take_idempotency_keys
--   skipjack.check_input(rules, input)  a process's input against its definition: defaults, problems
--   skipjack.start_processes(jsonb)     requests → rows; every way in ends here
--   skipjack.start_process(…)           one process, inside your transaction
--   views                               task_status, queue_depth (more columns), process_progress, process_history

alter table skipjack.processes set (
  fillfactor = 50,
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0
);
--> statement-breakpoint
-- Settling a task of a process moves the process too: code that does not know this must not settle any.
update skipjack.compatibility set compatible_from = 4;
--> statement-breakpoint

-- Keys are inserted in one sorted statement; what was there already is read in the next, whose snapshot sees
-- what the first had to wait for.
--
-- A key that the first found may be gone in the second: what it had made was deleted in between. Then one that
-- asks for a single key asks anew. One with several may hold a later key by now, and taking an earlier one after
-- it can end in a deadlock: it starts from the beginning, in a new transaction.
create function skipjack.take_idempotency_keys(of_scope text, requests jsonb)
returns table (id uuid, outcome text, existing_id uuid)
language plpgsql volatile
as $$
#variable_conflict use_column
declare
  tries_max constant integer := 10;
  keys integer;
  unknown integer;
  answers jsonb;
begin
  for tries in 1..tries_max loop
    insert into skipjack.idempotency_keys (scope, key, made_id, fingerprint, created_at)
    select of_scope, request.key, request.id, request.fingerprint, clock_timestamp()
    from jsonb_to_recordset(requests) as request (id uuid, key text, fingerprint text)
    order by request.key, request.id
    on conflict do nothing;

    -- Everything that is answered or decided comes from this one look: a second might see another deletion.
    select count(distinct request.key), count(*) filter (where known.made_id is null),
      jsonb_agg(jsonb_build_object(
        'id', request.id,
        'outcome', case when known.made_id = request.id then 'created'
          when known.fingerprint = request.fingerprint then 'existing'
          else 'key_conflict' end,
        'existing_id', known.made_id))
    into keys, unknown, answers
    from jsonb_to_recordset(requests) as request (id uuid, key text, fingerprint text)
    left join lateral (
      select made_id, fingerprint from skipjack.idempotency_keys
      where scope = of_scope and key = request.key
      limit 1
    ) as known on true;

    exit when unknown = 0;
    if keys > 1 or tries = tries_max then
      raise exception 'what an idempotency key had made was deleted while the key was being used again'
        using errcode = '40001', hint = 'Nothing was done. Repeat the transaction.';
    end if;
  end loop;
  return query select * from jsonb_to_recordset(answers) as answer (id uuid, outcome text, existing_id uuid);
end
$$;
--> statement-breakpoint
comment on function skipjack.take_idempotency_keys(text, jsonb) is
  'Takes the keys of an array of {id, key, fingerprint}; answers for each whether it is created, existing or key_conflict.';
--> statement-breakpoint

-- Takes tasks as core/task.ts names them (NewTask). The ids come from the caller and a known id is passed
-- over, so that a batch whose commit is unknown can be sent again.
create or replace function skipjack.enqueue_tasks(new_tasks jsonb)
returns table (task_id uuid, outcome text, existing_id uuid)
language plpgsql volatile
as $$
#variable_conflict use_column
declare
  answers jsonb := '[]';
begin
  if jsonb_path_exists(new_tasks, '$[*].idempotency_key ? (@ != null)') then
    select jsonb_agg(to_jsonb(taken)) into answers
    from skipjack.take_idempotency_keys('task', (
      select jsonb_agg(jsonb_build_object('id', keyed.value ->> 'id', 'key', keyed.value ->> 'idempotency_key',
        'fingerprint', skipjack.request_fingerprint(keyed.value)))
      from jsonb_array_elements(new_tasks) as keyed
      where keyed.value ->> 'idempotency_key' is not null)) as taken;
    return query select * from jsonb_to_recordset(answers) as answer (id uuid, outcome text, existing_id uuid);
  end if;

  with wanted as materialized (
    select *, coalesce(run_at, clock_timestamp() + coalesce(delay_ms, 0) * interval '1 millisecond') as available_at
    from jsonb_to_recordset(new_tasks) as (
      id uuid, name text, queue text, priority smallint, spec jsonb, input jsonb, labels jsonb, retry jsonb,
      timeout_ms bigint, delay_ms bigint, run_at timestamptz, awaited boolean)
    where id not in (
      select answer.id from jsonb_to_recordset(answers) as answer (id uuid, outcome text)
      where answer.outcome <> 'created')
  ), made as (
    insert into skipjack.tasks (id, name, queue, priority, spec, input, labels, retry, timeout_ms, created_at)
    select id, name, queue, priority, spec, input, labels, retry, timeout_ms, clock_timestamp()
    from wanted
    on conflict (id) do nothing
    returning id
  )
  insert into skipjack.queue_items (task_id, queue, priority, available_at, timeout_ms, awaited)
  select wanted.id, wanted.queue, wanted.priority, wanted.available_at, wanted.timeout_ms, coalesce(wanted.awaited, false)
  from wanted join made on made.id = wanted.id;
end
$$;
--> statement-breakpoint

create function skipjack.fits_type(value jsonb, type text) returns boolean
language sql immutable
as $$
  select case type
    when 'any' then true
    when 'integer' then jsonb_typeof(value) = 'number' and (value #>> '{}')::numeric % 1 = 0
    else jsonb_typeof(value) = type
  end
$$;
--> statement-breakpoint
comment on function skipjack.fits_type(jsonb, text) is 'Whether a JSON value is of an input type of definitions.';
--> statement-breakpoint

create function skipjack.check_input(rules jsonb, input jsonb) returns jsonb
language plpgsql immutable
as $$
declare
  given jsonb := coalesce(nullif(input, 'null'), '{}');
  problems jsonb;
begin
  if jsonb_typeof(given) <> 'object' then
    return jsonb_build_object('problems', jsonb_build_array(jsonb_build_object('pointer', '', 'code', 'wrong_type',
      'message', 'the input of a process is an object, not ' || jsonb_typeof(given))));
  end if;
  -- The library and HTTP take 1 MiB of compact JSON; Postgres writes the same with blanks.
  if octet_length(given::text) > 2097152 then
    return jsonb_build_object('problems', jsonb_build_array(jsonb_build_object('pointer', '', 'code', 'too_large',
      'message', 'the input is larger than 2097152 bytes')));
  end if;
  if coalesce(rules, 'null') = 'null' then
    return jsonb_build_object('input', given, 'problems', '[]'::jsonb);
  end if;

  select coalesce(jsonb_agg(jsonb_build_object(
    'pointer', '/' || replace(replace(found.name, '~', '~0'), '/', '~1'), 'code', found.code, 'message', found.message)
    order by found.name), '[]')
  into problems
  from (
    select name, 'missing_input' as code, format('the input "%s" is required', name) as message
    from jsonb_each(rules) as rule (name, rule)
    where (rule ->> 'required')::boolean and not given ? name
    union all
    select name, 'unknown_input', format('there is no input "%s"; %s', name, case when rules = '{}' then 'the definition takes none'
      else 'known are ' || left((select string_agg(known, ', ' order by known) from jsonb_object_keys(rules) as known), 500) end)
    from jsonb_object_keys(given) as name
    where not rules ? name
    union all
    select name, 'wrong_type', format('is %s, not %s', jsonb_typeof(value), rules -> name ->> 'type')
    from jsonb_each(given) as member (name, value)
    where rules ? name and not skipjack.fits_type(value, rules -> name ->> 'type')
    union all
    select name, 'not_in_enum', 'is none of ' || left((rules -> name -> 'enum')::text, 500)
    from jsonb_each(given) as member (name, value)
    where rules -> name ? 'enum' and skipjack.fits_type(value, rules -> name ->> 'type')
      and not exists (
        select from jsonb_array_elements(rules -> name -> 'enum') as allowed (choice) where allowed.choice = member.value)
    limit 100
  ) as found;

  return jsonb_build_object('problems', problems, 'input', given || coalesce((
    select jsonb_object_agg(name, rule -> 'default')
    from jsonb_each(rules) as rule (name, rule)
    where rule ? 'default' and not given ? name), '{}'));
end
$$;
--> statement-breakpoint
comment on function skipjack.check_input(jsonb, jsonb) is
  'A process''s input with its definition''s defaults, and what is wrong with it: {input, problems: [{pointer, code, message}]}.';
--> statement-breakpoint

-- Takes an array of {id, definition, version, definition_id, input, idempotency_key, awaited}: a definition by
-- name (its newest version unless one is named) or by id. The ids come from the caller and a known id is passed
-- over, so that a batch whose commit is unknown can be sent again.
--
-- A key that is known answers before anything is checked: its definition may be another by now. One that is
-- taken later, in a race, is taken only by a request that is otherwise good.
create function skipjack.start_processes(new_processes jsonb)
returns table (process_id uuid, outcome text, existing_id uuid, problems jsonb, lines jsonb)
language plpgsql volatile
as $$
#variable_conflict use_column
declare
  requests jsonb;
  keyed jsonb;
begin
  select jsonb_agg(to_jsonb(request)) into requests
  from (
    select wanted.*, definition.id as found_id, definition.name as found_name,
      case when known.made_id = wanted.id then 'created' when known.fingerprint = wanted.fingerprint then 'existing'
        when known.made_id is not null then 'key_conflict' when definition.id is null then 'no_such_definition'
        when jsonb_array_length(checked.answer -> 'problems') > 0 then 'invalid_input' else 'created' end as outcome,
      known.made_id as existing_id, checked.answer -> 'problems' as problems, checked.answer -> 'input' as checked_input
    from (
      select *, md5(jsonb_build_object('definition', definition, 'version', version, 'definition_id', definition_id,
        'input', coalesce(nullif(input, 'null'), '{}'))::text) as fingerprint
      from jsonb_to_recordset(new_processes) as request (
        id uuid, definition text, version integer, definition_id uuid, input jsonb, idempotency_key text, awaited boolean)
    ) as wanted
    left join lateral (
      select id, coalesce(name, plan ->> 'name') as name, plan -> 'input' as input_rules
      from skipjack.definitions
      where id = wanted.definition_id
      union all
      (select id, name, plan -> 'input' from skipjack.definitions
      where wanted.definition_id is null and name = wanted.definition and (wanted.version is null or version = wanted.version)
      order by version desc
      limit 1)
    ) as definition on true
    left join lateral (
      select made_id, fingerprint from skipjack.idempotency_keys
      where scope = 'process' and key = wanted.idempotency_key
      limit 1
    ) as known on true
    cross join lateral (select skipjack.check_input(definition.input_rules, wanted.input) as answer) as checked
  ) as request;

  select jsonb_agg(jsonb_build_object('id', request ->> 'id', 'key', request ->> 'idempotency_key', 'fingerprint', request ->> 'fingerprint'))
  into keyed
  from jsonb_array_elements(requests) as request
  where request ->> 'outcome' = 'created' and request ->> 'idempotency_key' is not null;
  if keyed is not null then
    select jsonb_agg(request || case when taken.id is null then '{}'
      else jsonb_build_object('outcome', taken.outcome, 'existing_id', taken.existing_id) end)
    into requests
    from jsonb_array_elements(requests) as request
    left join skipjack.take_idempotency_keys('process', keyed) as taken on taken.id = (request ->> 'id')::uuid;
  end if;

  return query
  with wanted as materialized (
    select * from jsonb_to_recordset(requests) as request (
      id uuid, outcome text, existing_id uuid, problems jsonb, found_id uuid, found_name text, checked_input jsonb, awaited boolean)
  ), clock as materialized (
    select clock_timestamp() as at
  ), started as materialized (
    select wanted.*, definition.plan, jsonb_array_length(definition.plan -> 'tasks') as tasks
    from wanted
    cross join lateral (select plan from skipjack.definitions where id = wanted.found_id limit 1) as definition
    where wanted.outcome = 'created'
  ), made as (
    insert into skipjack.processes (id, definition_id, name, fail_fast, tasks, unfinished, awaited, created_at)
    select started.id, found_id, found_name, (plan ->> 'fail_fast')::boolean, tasks, tasks, coalesce(awaited, false), clock.at
    from started cross join clock
    on conflict (id) do nothing
    returning id
  ), inputs as (
    insert into skipjack.process_inputs (process_id, input)
    select started.id, started.checked_input
    from started join made on made.id = started.id
    where started.checked_input <> '{}'
  ), planned as materialized (
    select skipjack.new_id() as task_id, ordered.*
    from (
      select started.id as process_id, task.*
      from made
      join started on started.id = made.id
      cross join lateral rows from (jsonb_to_recordset(started.plan -> 'tasks') as (
        name text, queue text, priority smallint, labels jsonb, retry jsonb, timeout_ms bigint, continue_on_error boolean,
        needs jsonb, dependents integer[]
      )) with ordinality as task (name, queue, priority, labels, retry, timeout_ms, continue_on_error, needs, dependents, ordinal)
      order by started.id, task.ordinal
    ) as ordered
  ), tasks as (
    insert into skipjack.tasks (id, process_id, ordinal, name, queue, priority, labels, retry, timeout_ms, continue_on_error,
      unmet, dependents, state, created_at)
    select task_id, process_id, ordinal, name, queue, priority, labels, retry, timeout_ms, continue_on_error,
      jsonb_array_length(needs), nullif(dependents, '{}'),
      case when jsonb_array_length(needs) = 0 then 'active' else 'pending' end, clock.at
    from planned cross join clock
  ), items as (
    insert into skipjack.queue_items (task_id, process_id, queue, priority, available_at, timeout_ms)
    select task_id, process_id, queue, priority, clock.at, timeout_ms
    from planned cross join clock
    where jsonb_array_length(needs) = 0
  )
  select wanted.id, wanted.outcome, wanted.existing_id, wanted.problems, (
    select jsonb_agg(distinct jsonb_build_array(planned.queue, planned.priority))
    from planned where planned.process_id = wanted.id and jsonb_array_length(planned.needs) = 0)
  from wanted;
end
$$;
--> statement-breakpoint
comment on function skipjack.start_processes(jsonb) is
  'Starts an array of processes; answers for each created, existing, key_conflict, no_such_definition or invalid_input. For programs use skipjack.start_process.';
--> statement-breakpoint

create function skipjack.start_process(
  definition text, input jsonb default '{}', idempotency_key text default null, version integer default null)
returns uuid
language plpgsql volatile
as $$
declare
  answer record;
begin
  if definition is null then
    raise exception 'name the definition of the process' using errcode = '22023';
  end if;
  if char_length(idempotency_key) not between 1 and 200 then
    raise exception '"idempotency_key" has fewer than 1 or more than 200 letters' using errcode = '22023';
  end if;
  select * into answer from skipjack.start_processes(jsonb_build_array(jsonb_build_object('id', skipjack.new_id(),
    'definition', definition, 'version', version, 'input', input, 'idempotency_key', idempotency_key)));
  case answer.outcome
    when 'created' then
      -- Inside the transaction, so that a roll-back takes it along: see skipjack.enqueue. The transaction may have
      -- been open for long: its tasks stand before some that were handed out meanwhile.
      -- One for each line: a payload has at most 8,000 bytes.
      perform pg_notify('skipjack', jsonb_build_object('lines', jsonb_build_array(line), 'putBack', true)::text)
      from jsonb_array_elements(answer.lines) as line;
      return answer.process_id;
    when 'existing' then
      return answer.existing_id;
    when 'key_conflict' then
      raise exception 'idempotency_conflict: the key "%" started process % by another request', idempotency_key, answer.existing_id
        using errcode = '23505', hint = 'Use a new key for a new request.';
    when 'invalid_input' then
      raise exception 'invalid_input: %', (
          select string_agg(coalesce(nullif(ltrim(
            case when problem ->> 'code' in ('wrong_type', 'not_in_enum') then problem ->> 'pointer' else '' end, '/'), '') || ' ', '')
            || (problem ->> 'message'), '; ')
          from jsonb_array_elements(answer.problems) as problem)
        using errcode = '22023', detail = answer.problems::text;
    else
      raise exception 'not_found: there is no definition "%"%', definition, coalesce(' in version ' || version, '')
        using errcode = '22023', hint = 'Publish it first: PUT /v1/definitions/{name}.';
  end case;
end
$$;
--> statement-breakpoint
comment on function skipjack.start_process(text, jsonb, text, integer) is
  'Starts a process inside your transaction and answers its id: select skipjack.start_process(''loan-application'', ''{"applicant": "Ann"}'').';
--> statement-breakpoint

create or replace view skipjack.task_status as
select
  task.id,
  task.name,
  task.queue,
  task.priority,
  case
    when task.state <> 'active' then task.state
    when item.started_at is not null then 'running'
    when item.available_at > now() then 'scheduled'
    else 'ready'
  end as state,
  coalesce(item.failures + item.losses + 1, greatest(task.failures + task.losses + (task.state = 'completed')::integer, 1)) as attempt,
  coalesce((task.retry ->> 'attempts')::integer, 1) as attempts_max,
  coalesce(item.failures, task.failures) as failures,
  coalesce(item.losses, task.losses) as losses,
  item.available_at,
  coalesce(item.worker, task.worker) as worker,
  item.lease_expires_at,
  coalesce(item.cancel_requested, false) as cancel_requested,
  task.labels,
  task.created_at,
  coalesce(item.started_at, task.started_at) as started_at,
  task.finished_at,
  task.wait_ms,
  task.run_ms,
  task.exit_code,
  task.error,
  task.process_id,
  task.ordinal,
  coalesce(item.held, false) as held
from skipjack.tasks as task
left join skipjack.queue_items as item on item.task_id = task.id;
--> statement-breakpoint
comment on view skipjack.task_status is
  'Each task as people see it: state is pending, scheduled, ready, running, completed, failed, cancelled or skipped; available_at is when an active one is due; held: its process is paused.';
--> statement-breakpoint

create or replace view skipjack.queue_depth as
select
  item.queue,
  coalesce(bool_or(line.paused), false) as paused,
  count(*) filter (where item.started_at is null and not item.held and item.available_at <= now()) as ready,
  count(*) filter (where item.started_at is null and not item.held and item.available_at > now()) as scheduled,
  count(*) filter (where item.started_at is not null) as running,
  min(item.available_at) filter (where item.worker is null and not item.held and item.available_at <= now()) as oldest_ready_at,
  count(*) filter (where item.started_at is null and item.held) as held
from skipjack.queue_items as item
left join skipjack.queues as line on line.name = item.queue
group by item.queue;
--> statement-breakpoint
comment on view skipjack.queue_depth is
  'What waits and runs on each queue that has live tasks; held: waits, but its process is paused.';
--> statement-breakpoint

create view skipjack.process_progress as
select
  process.id,
  process.name,
  definition.version,
  process.state,
  process.paused,
  process.tasks,
  process.unfinished,
  floor(100.0 * (process.tasks - process.unfinished) / process.tasks)::integer as percent,
  counted.pending,
  counted.active,
  counted.completed,
  counted.failed,
  counted.cancelled,
  counted.skipped,
  process.created_at,
  process.finished_at
from skipjack.processes as process
join skipjack.definitions as definition on definition.id = process.definition_id
cross join lateral (
  select
    count(*) filter (where task.state = 'pending') as pending,
    count(*) filter (where task.state = 'active') as active,
    count(*) filter (where task.state = 'completed') as completed,
    count(*) filter (where task.state = 'failed') as failed,
    count(*) filter (where task.state = 'cancelled') as cancelled,
    count(*) filter (where task.state = 'skipped') as skipped
  from skipjack.tasks as task
  where task.process_id = process.id
) as counted;
--> statement-breakpoint
comment on view skipjack.process_progress is
  'Each process with its tasks by state; percent of them have ended. Reads the tasks of the processes you ask for.';
--> statement-breakpoint

create view skipjack.process_history as
select id as process_id, created_at as at, 'process_started' as event, null::uuid as task_id, null::text as task,
  null::text as by, null::jsonb as details, 1 as step
from skipjack.processes
union all
select process_id, at, case when event in ('completed_by_name', 'failed_by_name') then 'task_' else 'process_' end || event,
  task_id, (select name from skipjack.tasks where id = task_id), by, details, 2
from skipjack.process_events
union all
-- A retry opens a process again; that it had failed is known from the retry.
select process_id, (details ->> 'failed_at')::timestamptz, 'process_failed', null, null, null, null, 6
from skipjack.process_events
where event = 'retried'
union all
select task.process_id, coalesce(item.started_at, task.started_at), 'task_started', task.id, task.name,
  coalesce(item.worker, task.worker), null, 3
from skipjack.tasks as task
left join skipjack.queue_items as item on item.task_id = task.id
where task.process_id is not null and coalesce(item.started_at, task.started_at) is not null
union all
select task.process_id, attempt.ended_at, 'attempt_' || attempt.outcome, task.id, task.name, attempt.worker, attempt.error, 4
from skipjack.tasks as task
join skipjack.attempts as attempt on attempt.task_id = task.id
where task.process_id is not null
union all
select process_id, finished_at, 'task_' || state, id, name, worker, error, 5
from skipjack.tasks
where process_id is not null and finished_at is not null
union all
select id, finished_at, 'process_' || state, null, null, null, null, 6
from skipjack.processes
where finished_at is not null;
--> statement-breakpoint
comment on view skipjack.process_history is
  'What happened to a process and its tasks, read from the times in the record: where process_id = … order by at, step.';
