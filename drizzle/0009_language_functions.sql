-- The process language: storage of what moves, and the functions that start processes.
--
--   storage                             inbox and item lists are rewritten by every settle of their processes
--   skipjack.start_processes(jsonb)     as before, and what an engine must think about is posted to it
--   skipjack.start_process(…)           as before; says that a definition is inactive

-- Rows come and go by the thousand while the table stays small, as in the queue.
alter table skipjack.engine_items set (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_insert_scale_factor = 0,
  autovacuum_vacuum_insert_threshold = 10000,
  autovacuum_vacuum_cost_delay = 0
);
--> statement-breakpoint
alter table skipjack.item_lists set (
  fillfactor = 50,
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0
);
--> statement-breakpoint

-- Takes an array of {id, definition, version, definition_id, input, idempotency_key, awaited}: a definition by
-- name (its newest version unless one is named) or by id. The ids come from the caller and a known id is passed
-- over, so that a batch whose commit is unknown can be sent again. An engine that starts a process for a task, or
-- after a failure, adds {parent_process_id, parent_task_id, depth, detached}.
--
-- A key that is known answers before anything is checked: its definition may be another by now, or inactive. One
-- that is taken later, in a race, is taken only by a request that is otherwise good.
--
-- What an engine must think about is posted to its inbox here: tasks that need nothing and think, the deadline. The
-- first such process closes the database to servers that know no engine.
create or replace function skipjack.start_processes(new_processes jsonb)
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
        when exists (select from skipjack.inactive_definitions where name = definition.kept_as) then 'definition_inactive'
        when jsonb_array_length(checked.answer -> 'problems') > 0 then 'invalid_input' else 'created' end as outcome,
      known.made_id as existing_id, checked.answer -> 'problems' as problems, checked.answer -> 'input' as checked_input
    from (
      select *, md5(jsonb_build_object('definition', definition, 'version', version, 'definition_id', definition_id,
        'input', coalesce(nullif(input, 'null'), '{}'))::text) as fingerprint
      from jsonb_to_recordset(new_processes) as request (
        id uuid, definition text, version integer, definition_id uuid, input jsonb, idempotency_key text, awaited boolean,
        parent_process_id uuid, parent_task_id uuid, depth smallint, detached boolean)
    ) as wanted
    left join lateral (
      select id, coalesce(name, plan ->> 'name') as name, name as kept_as, plan -> 'input' as input_rules
      from skipjack.definitions
      where id = wanted.definition_id
      union all
      (select id, name, name, plan -> 'input' from skipjack.definitions
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
      id uuid, outcome text, existing_id uuid, problems jsonb, found_id uuid, found_name text, checked_input jsonb, awaited boolean,
      parent_process_id uuid, parent_task_id uuid, depth smallint, detached boolean)
  ), clock as materialized (
    select clock_timestamp() as at
  ), started as materialized (
    select wanted.*, definition.plan, jsonb_array_length(definition.plan -> 'tasks') as tasks,
      (definition.plan ->> 'deadline_ms')::bigint as deadline_ms, coalesce((definition.plan ->> 'thinks')::boolean, false) as thinks,
      definition.plan ?| '{output,on_failure,deadline_ms}'
        or (wanted.parent_task_id is not null and not coalesce(wanted.detached, false)) as finishes,
      -- Only an "if" makes such a task, and what has one thinks: other plans are not walked through.
      case when definition.plan ? 'thinks' then jsonb_path_exists(definition.plan,
        '$.tasks[*] ? (@.runs_on_failure == true || @.runs_on_cancel == true)') else false end as cleans_up
    from wanted
    cross join lateral (select plan from skipjack.definitions where id = wanted.found_id limit 1) as definition
    where wanted.outcome = 'created'
  ), made as (
    insert into skipjack.processes (id, definition_id, name, fail_fast, tasks, unfinished, awaited, created_at, thinks, finishes,
      cleans_up, parent_process_id, parent_task_id, depth, detached)
    select started.id, found_id, found_name, (plan ->> 'fail_fast')::boolean, tasks, tasks, coalesce(awaited, false), clock.at, thinks,
      finishes, cleans_up, parent_process_id, parent_task_id, coalesce(depth, 0), coalesce(detached, false)
    from started cross join clock
    on conflict (id) do nothing
    returning id
  ), closed as (
    update skipjack.compatibility set compatible_from = 13
    where compatible_from < 13
      and exists (select from made join started on started.id = made.id where started.thinks or started.finishes)
  ), inputs as (
    insert into skipjack.process_inputs (process_id, input)
    select started.id, started.checked_input
    from started join made on made.id = started.id
    where started.checked_input <> '{}'
  ), planned as materialized (
    select skipjack.new_id() as task_id, ordered.*
    from (
      select started.id as process_id, jsonb_array_length(task.needs) as unmet, coalesce(task.thinks, false) as is_thought, task.*
      from made
      join started on started.id = made.id
      cross join lateral rows from (jsonb_to_recordset(started.plan -> 'tasks') as (
        name text, queue text, priority smallint, labels jsonb, retry jsonb, timeout_ms bigint, continue_on_error boolean,
        needs jsonb, dependents integer[], thinks boolean, runs_on_failure boolean, runs_on_cancel boolean
      )) with ordinality as task (name, queue, priority, labels, retry, timeout_ms, continue_on_error, needs, dependents, thinks,
        runs_on_failure, runs_on_cancel, ordinal)
      order by started.id, task.ordinal
    ) as ordered
  ), tasks as (
    insert into skipjack.tasks (id, process_id, ordinal, name, queue, priority, labels, retry, timeout_ms, continue_on_error,
      unmet, dependents, state, waits_for, thinks, runs_on_failure, runs_on_cancel, created_at)
    select task_id, process_id, ordinal, name, queue, priority, labels, retry, timeout_ms, continue_on_error,
      unmet, nullif(dependents, '{}'),
      case when unmet = 0 then 'active' else 'pending' end, case when unmet = 0 and is_thought then 'engine' end,
      is_thought, coalesce(runs_on_failure, false), coalesce(runs_on_cancel, false), clock.at
    from planned cross join clock
  ), items as (
    insert into skipjack.queue_items (task_id, process_id, queue, priority, available_at, timeout_ms)
    select task_id, process_id, queue, priority, clock.at, timeout_ms
    from planned cross join clock
    where unmet = 0 and not is_thought
  ), posted as (
    insert into skipjack.engine_items (process_id, task_id, kind, available_at)
    select process_id, task_id, 'think', clock.at
    from planned cross join clock
    where unmet = 0 and is_thought
    union all
    select started.id, null, 'deadline', clock.at + deadline_ms * interval '1 millisecond'
    from made join started on started.id = made.id cross join clock
    where deadline_ms is not null
    returning process_id
  ), lined as materialized (
    select process_id, jsonb_agg(distinct line) as lines
    from (
      select process_id, jsonb_build_array(queue, priority) as line from planned where unmet = 0 and not is_thought
      union all
      select process_id, '["$engine", 0]' from posted
    ) as line
    group by process_id
  )
  select wanted.id, wanted.outcome, wanted.existing_id, wanted.problems, lined.lines
  from wanted left join lined on lined.process_id = wanted.id;
end
$$;
--> statement-breakpoint
comment on function skipjack.start_processes(jsonb) is
  'Starts an array of processes; answers for each created, existing, key_conflict, no_such_definition, definition_inactive or invalid_input. For programs use skipjack.start_process.';
--> statement-breakpoint

create or replace function skipjack.start_process(
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
    when 'definition_inactive' then
      raise exception 'definition_inactive: the definition "%" is inactive: nothing is started by it', definition
        using errcode = '55000', hint = 'Whoever turned it off can turn it on again.';
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
