-- What SQL said otherwise than HTTP and the library, and views that go by indexes.
--
--   skipjack.check_expressions(jsonb)    "${{" where it cannot stand, in a task on its own
--   not_supported_yet                    is misplaced_expression, as everywhere
--   skipjack.check_json(jsonb)           the bounds of core/json.ts and core/task-input.ts: 1 MiB without blanks, 64 deep, 100,000 values
--   skipjack.duration_ms(text)           as before, in databases with collations of ICU too
--   skipjack.read_time(text)             '2031-01-02T03:04:05Z' → its moment
--   skipjack.enqueue(jsonb)              as before; refuses in words of its own also a handler that begins with "$", a day
--                                        that there is not, an input beyond its bounds
--   skipjack.start_process(…), skipjack.send_event(…)
--                                        as before; an input and a payload have the bounds that they have everywhere
--   process_history, process_tree(uuid)  as before, whatever the statistics say

-- Which texts are templates, and which are taken as they are, core/container-input.ts says (secretText, plainText). Of
-- scripts and files other words are said.
create function skipjack.check_expressions(task jsonb) returns text
language sql immutable
as $$
  with recursive member (place, value) as (
    select null::text, bare
    from (select task - '{input,run,stdin,files,labels}'::text[] as bare) as task
    where bare::text like '%${{%'
    union all
    select concat_ws('.', member.place, inner_member.key), inner_member.value
    from member
    cross join lateral (
      select key, value from jsonb_each(case jsonb_typeof(member.value) when 'object' then member.value end)
      union all
      select (place - 1)::text, value
      from jsonb_array_elements(case jsonb_typeof(member.value) when 'array' then member.value end) with ordinality as item (value, place)
    ) as inner_member
  )
  select format('misplaced_expression: "%s" %s', place,
    case when is_plain then 'is no template' else 'has "${{" that is no reference to a secret' end)
  from (
    select place, value #>> '{}' as given,
      place ~ '^(command|((pre|post|sidecars)\.[0-9]+\.)?(image|workdir|user)|(pre|post)\.[0-9]+\.name|sidecars\.[0-9]+\.probe\.(path|cmd\.[0-9]+)|(volumes|networks)\.[0-9]+|mounts\.[0-9]+\.(source|target))$' as is_plain,
      place ~ '^(((pre|post|sidecars)\.[0-9]+\.)?((args|cmd|entrypoint)\.[0-9]+|env\..*)|registry\.(username|password))$' as is_template
    from member
    where jsonb_typeof(value) = 'string'
  ) as text
  where is_plain and given like '%${{%' or is_template and skipjack.has_template(given)
  order by place
  limit 1
$$;
--> statement-breakpoint
comment on function skipjack.check_expressions(jsonb) is
  'Where a task on its own has a "${{" that cannot stand there; null: nowhere.';
--> statement-breakpoint

-- Of what a task runs, said by 0006 on its own: nothing but the code changes.
do $$
declare
  definition text;
begin
  for definition in
    select pg_get_functiondef(oid) from pg_proc
    where pronamespace = 'skipjack'::regnamespace and prosrc like '%not\_supported\_yet: "%'
  loop
    execute replace(definition, 'not_supported_yet: "', 'misplaced_expression: "');
  end loop;
end
$$;
--> statement-breakpoint

create function skipjack.check_json(given jsonb) returns text
language plpgsql immutable strict
as $$
declare
  bytes_max constant integer := 1048576;
  values_max constant integer := 100000;
  written constant text := given;
  bytes integer := octet_length(written);
  outside text;
  value_count integer := 0;
begin
  -- A value takes two bytes at least, and there are fewer blanks, one behind each "," and ":", than other letters.
  if bytes between 2 * values_max and 2 * bytes_max then
    -- Cut at its quotes, its texts are every other piece: this is the others.
    select string_agg(piece, '"') into outside
    from unnest(string_to_array(replace(replace(written, '\\', ''), '\"', ''), '"')) with ordinality as cut (piece, place)
    where place % 2 = 1;
    bytes := bytes - (char_length(outside) - char_length(replace(outside, ' ', '')));
    -- The outermost, and in each list and map that is not empty one more than it has commas.
    value_count := 1 + char_length(outside) - char_length(translate(outside, ',[{', ''))
      - (char_length(outside) - char_length(replace(replace(outside, '[]', ''), '{}', ''))) / 2;
  end if;
  return case
    when bytes > bytes_max then format('is larger than %s bytes', bytes_max)
    -- What is some thousands deep no JavaScript can write out again.
    when jsonb_path_exists(given, '$.**{64}') then 'is nested deeper than 64'
    when value_count > values_max then format('has more than %s values', values_max)
  end;
end
$$;
--> statement-breakpoint
comment on function skipjack.check_json(jsonb) is
  'What is wrong with an input or a payload, whose bytes are counted without the blanks that Postgres writes; null: nothing.';
--> statement-breakpoint

-- Digits of other scripts, which "\d" means too where a database has collations of ICU, are no numbers.
create or replace function skipjack.duration_ms(duration text) returns bigint
language plpgsql immutable strict
as $$
declare
  parts text[] := regexp_match(duration, '^([0-9]{1,12}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)$');
  ms numeric;
begin
  if parts is not null then
    ms := round(parts[1]::numeric * case parts[2]
      when 'ms' then 1 when 's' then 1000 when 'm' then 60000 when 'h' then 3600000 else 86400000 end);
  end if;
  if ms is null or ms > 315360000000 then
    raise exception '"%" is not a duration', duration
      using errcode = '22023', hint = 'Write 500ms, 30s, 10m, 2h or 7d; at most 3650d.';
  end if;
  return ms;
end
$$;
--> statement-breakpoint

create function skipjack.read_time(given text) returns timestamptz
language plpgsql stable strict
as $$
begin
  if given ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$' then
    return given::timestamptz;
  end if;
  return null;
exception
  when datetime_field_overflow or invalid_datetime_format or invalid_time_zone_displacement_value then
    return null;
end
$$;
--> statement-breakpoint
comment on function skipjack.read_time(text) is 'The moment of a time written as RFC 3339 has it; null: it is none.';
--> statement-breakpoint

create or replace function skipjack.enqueue(task jsonb) returns uuid
language plpgsql volatile
as $$
declare
  types constant jsonb := '{"type": "string", "command": "string", "args": "array", "run": "string", "handler": "string",
    "env": "object", "stdin": "string", "image": "string", "cmd": "array", "entrypoint": "array", "files": "object",
    "workdir": "string", "user": "string", "volumes": "array", "mounts": "array", "networks": "array", "limits": "object",
    "gpus": "integer|string", "registry": "object", "pull": "string", "pre": "array", "post": "array", "sidecars": "array",
    "name": "string", "queue": "string", "input": "null|boolean|number|string|array|object", "priority": "integer",
    "delay": "string", "run_at": "string", "retry": "object", "timeout": "string", "idempotency_key": "string",
    "labels": "object"}';
  spec_keys constant jsonb := '{"command": ["command", "args", "env", "stdin"], "run": ["run", "env", "stdin"], "handler": ["handler"],
    "container": ["image", "entrypoint", "cmd", "run", "env", "stdin", "files", "workdir", "user", "volumes", "mounts", "networks",
      "limits", "gpus", "registry", "pull", "pre", "post", "sidecars"]}';
  problem text;
  unknown text;
  kind text;
  spec jsonb;
  retry jsonb;
  id uuid := skipjack.new_id();
  queue_name text;
  task_name text;
  run_at timestamptz;
  answer record;
begin
  if task is null or jsonb_typeof(task) <> 'object' then
    raise exception 'a task is a JSON object' using errcode = '22023';
  end if;
  problem := skipjack.check_members(task, types, '');
  if problem is not null then
    raise exception '%', problem using errcode = '22023',
      hint = 'Leave out what you do not set. Known are ' || (select string_agg(key, ', ') from jsonb_object_keys(types) as key) || '.';
  end if;

  if (task ? 'command')::int + (task ? 'run' and not task ? 'image')::int + (task ? 'handler')::int + (task ? 'image')::int > 1 then
    raise exception 'a task has one of "command", "run", "handler" and "image"' using errcode = '22023';
  end if;
  kind := case when task ? 'image' then 'container' when task ? 'command' then 'command' when task ? 'run' then 'run' when task ? 'handler' then 'handler' end;
  if task ? 'type' and task ->> 'type' is distinct from kind then
    raise exception '"type" is "%", but there is no "%"', task ->> 'type', case task ->> 'type' when 'container' then 'image' else task ->> 'type' end
      using errcode = '22023';
  end if;
  if task ? 'args' and kind is distinct from 'command' then
    raise exception '"args" goes with "command"; in a container it is "cmd"' using errcode = '22023';
  end if;
  if (task ? 'env' or task ? 'stdin') and coalesce(kind, 'handler') = 'handler' then
    raise exception '"env" and "stdin" go with "command", "run" or "image"' using errcode = '22023';
  end if;
  select key into unknown from jsonb_object_keys(task) as key
  where kind is distinct from 'container' and spec_keys -> 'container' ? key and key <> all ('{run,env,stdin}') limit 1;
  if unknown is not null then
    raise exception '"%" goes with "image"', unknown using errcode = '22023';
  end if;

  if task ->> 'command' = '' or char_length(task ->> 'command') > 4096 or char_length(task ->> 'handler') not between 1 and 200
    or task ->> 'run' = '' or char_length(task ->> 'run') > 262144 or char_length(task ->> 'stdin') > 1048576 then
    raise exception '"command" has 1 to 4096 letters, "handler" 1 to 200, "run" 1 to 262144, "stdin" at most 1048576' using errcode = '22023';
  end if;
  problem := skipjack.check_expressions(task);
  if problem is not null then
    raise exception '%', problem using errcode = '0A000',
      hint = 'A task on its own has no process whose values an expression could name: ${{ secrets.NAME }} is all that can stand in it, in "env", "args", "cmd", "entrypoint" and "registry".';
  end if;
  if task ->> 'run' like '%${{%' then
    raise exception '"run" has "${{": a script is never a template' using errcode = '22023', hint = 'Hand values over in "env".';
  end if;
  problem := case kind when 'container' then skipjack.check_container(task)
    else coalesce(skipjack.check_arguments(task -> 'args', 'args'), skipjack.check_env(task -> 'env', 'env')) end;
  if problem is not null then
    raise exception '%', problem using errcode = '22023';
  end if;

  if task ? 'labels' and (
      (select count(*) from jsonb_object_keys(task -> 'labels')) > 32
      or exists (
        select from jsonb_each(task -> 'labels') as label (key, value)
        where jsonb_typeof(value) <> 'string' or char_length(key) not between 1 and 63 or char_length(value #>> '{}') > 200)) then
    raise exception '"labels" is an object of at most 32 texts; a name has 1 to 63 letters, a value at most 200' using errcode = '22023';
  end if;
  if task ? 'run_at' then
    run_at := skipjack.read_time(task ->> 'run_at');
    if run_at is null then
      raise exception '"run_at" is not a time' using errcode = '22023', hint = 'Write 2031-01-02T03:04:05Z.';
    elsif run_at < '1970-01-01T00:00:00Z' or run_at >= '9999-01-01T00:00:00Z' then
      raise exception '"run_at" must be in the years 1970 to 9998 (UTC)' using errcode = '22023';
    end if;
  end if;
  if task ? 'delay' and task ? 'run_at' then
    raise exception 'a task has "delay" or "run_at", not both' using errcode = '22023';
  end if;

  problem := skipjack.check_json(task -> 'input');
  if problem is not null then
    raise exception '"input" %', problem using errcode = '22023',
      hint = 'Keep it elsewhere and hand over where it is.';
  end if;

  -- Said here: the constraints of the tables would answer with the whole row, values of "env" included.
  if (task ->> 'priority')::numeric not between 0 and 9 then
    raise exception '"priority" is not a whole number from 0 to 9' using errcode = '22023';
  end if;
  select key into unknown from jsonb_each_text(task) as member (key, value)
  where key in ('name', 'queue', 'idempotency_key') and char_length(value) not between 1 and 200 limit 1;
  if unknown is not null then
    raise exception '"%" has fewer than 1 or more than 200 letters', unknown using errcode = '22023';
  end if;
  if left(task ->> 'queue', 1) = '$' then
    raise exception '"queue" begins with "$", which is kept for the engine' using errcode = '22023';
  end if;
  if left(task ->> 'handler', 1) = '$' and not task ? 'queue' then
    raise exception '"handler" begins with "$", as no queue may' using errcode = '22023', hint = 'Say which "queue" it waits on.';
  end if;
  if skipjack.duration_ms(task ->> 'timeout') = 0 then
    raise exception '"timeout" must be longer than 0' using errcode = '22023';
  end if;

  if kind is not null then
    select jsonb_build_object('type', kind) || case kind when 'command' then jsonb '{"args": []}' else '{}' end || jsonb_object_agg(key, value)
    into spec
    from jsonb_each(task) as member (key, value)
    where spec_keys -> kind ? key;
  end if;
  if task ? 'retry' then
    problem := skipjack.check_retry(task -> 'retry');
    if problem is not null then
      raise exception '%', problem using errcode = '22023',
        hint = 'Known are attempts, backoff, delay, max_delay, jitter, on (exit_codes, codes), within.';
    end if;
    retry := skipjack.retry_policy(task -> 'retry');
  end if;

  queue_name := coalesce(task ->> 'queue', case kind when 'handler' then task ->> 'handler' when 'command' then 'default' when 'run' then 'default'
    when 'container' then 'containers' else 'people' end);
  task_name := coalesce(task ->> 'name', left(coalesce(task ->> 'image', task ->> 'command', task ->> 'handler', case kind when 'run' then 'run' end), 200));
  if task_name is null then
    raise exception 'a task with nothing to run needs a "name"'
      using errcode = '22023', hint = 'Give it one of "command", "run", "handler" and "image", or a "name" for whoever claims it.';
  end if;

  select * into answer from skipjack.enqueue_tasks(jsonb_build_array(jsonb_build_object(
    'id', id,
    'name', task_name,
    'queue', queue_name,
    'priority', coalesce((task ->> 'priority')::numeric::integer, 5),
    'spec', spec,
    'input', task -> 'input',
    'labels', case when task -> 'labels' <> '{}' then task -> 'labels' end,
    'retry', retry,
    'timeout_ms', skipjack.duration_ms(task ->> 'timeout'),
    'delay_ms', skipjack.duration_ms(task ->> 'delay'),
    'run_at', run_at,
    'idempotency_key', task ->> 'idempotency_key')));
  if answer.outcome = 'key_conflict' then
    raise exception 'idempotency_conflict: the key "%" made task % by another request', task ->> 'idempotency_key', answer.existing_id
      using errcode = '23505', hint = 'Use a new key for a new request.';
  elsif answer.outcome = 'existing' then
    return answer.existing_id;
  end if;
  -- Inside the transaction, so that a roll-back takes it along. It costs a lock on the whole database's
  -- notification queue while the caller commits; the HTTP API and the library notify after their commit.
  perform pg_notify('skipjack', jsonb_build_object('lines', jsonb_build_array(jsonb_build_array(queue_name, coalesce((task ->> 'priority')::numeric::integer, 5))))::text);
  return id;
end
$$;
--> statement-breakpoint

create or replace function skipjack.start_process(
  definition text, input jsonb default '{}', idempotency_key text default null, version integer default null)
returns uuid
language plpgsql volatile
as $$
declare
  beyond text;
  answer record;
begin
  if definition is null then
    raise exception 'name the definition of the process' using errcode = '22023';
  end if;
  if char_length(idempotency_key) not between 1 and 200 then
    raise exception '"idempotency_key" has fewer than 1 or more than 200 letters' using errcode = '22023';
  end if;
  beyond := 'the input ' || skipjack.check_json(input);
  if beyond is not null then
    raise exception 'invalid_input: %', beyond using errcode = '22023',
      detail = jsonb_build_array(jsonb_build_object('pointer', '', 'code', 'too_large', 'message', beyond)),
      hint = 'Keep it elsewhere and hand over where it is.';
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
--> statement-breakpoint

create or replace function skipjack.send_event(
  name text, key text default null, payload jsonb default null, idempotency_key text default null)
returns uuid
language plpgsql volatile
as $$
declare
  problem text;
  answer record;
begin
  if name is null or char_length(name) not between 1 and 200 then
    raise exception 'an event has a name, of 1 to 200 letters' using errcode = '22023';
  end if;
  if char_length(key) > 200 then
    raise exception '"key" has more than 200 letters' using errcode = '22023';
  end if;
  if char_length(idempotency_key) not between 1 and 200 then
    raise exception '"idempotency_key" has fewer than 1 or more than 200 letters' using errcode = '22023';
  end if;
  problem := skipjack.check_json(payload);
  if problem is not null then
    raise exception '"payload" %', problem using errcode = '22023',
      hint = 'Keep it elsewhere and send where it is.';
  end if;
  select * into answer from skipjack.send_events(jsonb_build_array(jsonb_build_object('id', skipjack.new_id(),
    'name', name, 'key', key, 'payload', payload, 'idempotency_key', idempotency_key)));
  if answer.outcome = 'key_conflict' then
    raise exception 'idempotency_conflict: the key "%" sent event % by another request', idempotency_key, answer.existing_id
      using errcode = '23505', hint = 'Use a new key for a new request.';
  end if;
  if answer.outcome = 'created' and answer.woken > 0 then
    -- Inside the transaction, so that a roll-back takes it along: see skipjack.enqueue.
    perform pg_notify('skipjack', '{"lines": [["$engine", 0]]}');
  end if;
  return answer.existing_id;
end
$$;
--> statement-breakpoint

-- What belongs to a task is looked up task by task, by its id: there are as many as the process has, whatever the
-- statistics say of the other processes.
create or replace view skipjack.process_history as
select id as process_id, created_at as at, 'process_started' as event, null::uuid as task_id, null::text as task,
  null::text as by, null::jsonb as details, 1 as step
from skipjack.processes
union all
select process_id, at, case
    when event in ('completed_by_name', 'failed_by_name') then 'task_'
    -- What on_failure started, or could not.
    when event like 'failure\_process\_%' then ''
    else 'process_'
  end || event,
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
left join lateral (select started_at, worker from skipjack.queue_items where task_id = task.id limit 1) as item on true
where task.process_id is not null and coalesce(item.started_at, task.started_at) is not null
union all
select child.parent_process_id, child.created_at, 'child_process_started', child.parent_task_id,
  (select name from skipjack.tasks where id = child.parent_task_id), null,
  jsonb_build_object('process_id', child.id, 'definition', child.name, 'detached', child.detached), 3
from skipjack.processes as child
where child.parent_process_id is not null and child.parent_task_id is not null
union all
select task.process_id, attempt.ended_at, 'attempt_' || attempt.outcome, task.id, task.name, attempt.worker, attempt.error, 4
from skipjack.tasks as task
cross join lateral (
  select ended_at, outcome, worker, error from skipjack.attempts where task_id = task.id offset 0
) as attempt
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

create or replace function skipjack.process_tree(root uuid)
returns table (
  process_id uuid, level integer, definition text, state text, paused boolean, percent integer, parent_process_id uuid,
  parent_task_id uuid, parent_task text, detached boolean, created_at timestamptz, finished_at timestamptz)
language sql stable
-- Where one process has started most of them, the statistics say so of every other: all are read for each, and machine
-- code is made for the work that this would be.
set enable_seqscan = off
set jit = off
as $$
  with recursive tree as (
    select process.id, 0 as level, array[process.id] as path
    from skipjack.processes as process
    where process.id = root
    union all
    select child.id, tree.level + 1, tree.path || child.id
    from tree
    cross join lateral (select id from skipjack.processes where parent_process_id = tree.id offset 0) as child
    -- Processes start processes so deep at most; a circle, which there cannot be, would end.
    where tree.level < 32
  )
  select process.id, tree.level, process.name, process.state, process.paused,
    floor(100.0 * (process.tasks - process.unfinished) / process.tasks)::integer, process.parent_process_id,
    process.parent_task_id, (select task.name from skipjack.tasks as task where task.id = process.parent_task_id),
    process.detached, process.created_at, process.finished_at
  from tree
  cross join lateral (select * from skipjack.processes where id = tree.id limit 1) as process
  order by tree.path
$$;
