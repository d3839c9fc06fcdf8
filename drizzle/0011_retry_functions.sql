-- Which failures are tried again (retry.on), and for how long (retry.within), in skipjack.enqueue(jsonb). What
-- core/task-input.ts says of a task over HTTP these functions say of one in SQL; a test holds the two together.
--
--   skipjack.check_retry(jsonb)   what is wrong with a retry policy
--   skipjack.retry_policy(jsonb)  '{"attempts": 3, "delay": "2s"}' → as core/task.ts stores it (RetryPolicy)
--   skipjack.enqueue(jsonb)       one task, in the words of POST /v1/tasks, inside your transaction

create function skipjack.check_retry(retry jsonb) returns text
language sql immutable strict
as $$
  select coalesce(
    skipjack.check_members(retry, '{"attempts": "integer", "backoff": "string", "delay": "string", "max_delay": "string",
      "jitter": "boolean", "on": "object", "within": "string"}', 'retry'),
    case
      when (retry ->> 'attempts')::numeric not between 1 and 1000
          or retry ->> 'backoff' not in ('fixed', 'linear', 'exponential')
        then '"retry" has attempts from 1 to 1000 and a backoff of fixed, linear or exponential'
      when skipjack.duration_ms(retry ->> 'within') not between 1 and 31622400000
        then '"retry.within" must be longer than 0 and at most 366d'
    end,
    skipjack.check_members(retry -> 'on', '{"exit_codes": "array", "codes": "array"}', 'retry.on'),
    case
      when retry -> 'on' = '{}' then '"retry.on" names no failure: give it exit_codes, codes or both'
      when jsonb_array_length(retry #> '{on,exit_codes}') not between 1 and 100
          or exists (
            select from jsonb_array_elements(retry #> '{on,exit_codes}') as code
            where case jsonb_typeof(code) when 'number'
              then code::numeric not between 0 and 255 or code::numeric <> trunc(code::numeric) else true end)
        then '"retry.on.exit_codes" is a list of 1 to 100 whole numbers from 0 to 255'
      when jsonb_array_length(retry #> '{on,codes}') not between 1 and 100
          or exists (
            select from jsonb_array_elements(retry #> '{on,codes}') as code
            where jsonb_typeof(code) <> 'string' or char_length(code #>> '{}') not between 1 and 100)
        then '"retry.on.codes" is a list of 1 to 100 texts of 1 to 100 letters'
    end)
$$;
--> statement-breakpoint
comment on function skipjack.check_retry(jsonb) is 'What is wrong with the retry policy of a task; null: nothing.';
--> statement-breakpoint

create function skipjack.retry_policy(retry jsonb) returns jsonb
language sql immutable strict
as $$
  select jsonb_build_object(
      'attempts', coalesce((retry ->> 'attempts')::numeric::integer, 1),
      'backoff', coalesce(retry ->> 'backoff', 'exponential'),
      'delay_ms', coalesce(skipjack.duration_ms(retry ->> 'delay'), 1000),
      'max_delay_ms', coalesce(skipjack.duration_ms(retry ->> 'max_delay'), 3600000),
      'jitter', coalesce((retry ->> 'jitter')::boolean, true))
    || jsonb_strip_nulls(jsonb_build_object(
      'within_ms', skipjack.duration_ms(retry ->> 'within'),
      'on', case when retry ? 'on' then jsonb_build_object(
        -- As whole numbers: 75.0 is 75.
        'exit_codes', (
          select jsonb_agg(code::numeric::integer order by place)
          from jsonb_array_elements(retry #> '{on,exit_codes}') with ordinality as listed (code, place)),
        'codes', retry #> '{on,codes}') end))
$$;
--> statement-breakpoint
comment on function skipjack.retry_policy(jsonb) is
  'A checked retry policy as a task stores it, with what was left out.';
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
  if task ->> 'command' like '%${{%' then
    raise exception '"command" is no template: "${{ … }}" can stand in "env", "cmd", "args", "entrypoint" and "registry"'
      using errcode = '22023';
  end if;
  if task ->> 'run' like '%${{%' then
    raise exception '"run" has "${{": a script is never a template' using errcode = '22023', hint = 'Hand values over in "env".';
  end if;
  problem := case kind when 'container' then skipjack.check_container(task)
    else coalesce(skipjack.check_arguments(task -> 'args', 'args'), skipjack.check_env(task -> 'env', 'env')) end;
  if problem like 'not\_supported\_yet%' then
    raise exception '%', problem using errcode = '0A000',
      hint = 'A task on its own has no process whose values an expression could name: ${{ secrets.NAME }} is all that can stand there.';
  elsif problem is not null then
    raise exception '%', problem using errcode = '22023';
  end if;

  if task ? 'labels' and (
      (select count(*) from jsonb_object_keys(task -> 'labels')) > 32
      or exists (
        select from jsonb_each(task -> 'labels') as label (key, value)
        where jsonb_typeof(value) <> 'string' or char_length(key) not between 1 and 63 or char_length(value #>> '{}') > 200)) then
    raise exception '"labels" is an object of at most 32 texts; a name has 1 to 63 letters, a value at most 200' using errcode = '22023';
  end if;
  if task ->> 'run_at' !~ '^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$' then
    raise exception '"run_at" is not a time' using errcode = '22023', hint = 'Write 2031-01-02T03:04:05Z.';
  end if;
  if (task ->> 'run_at')::timestamptz < '1970-01-01T00:00:00Z' or (task ->> 'run_at')::timestamptz >= '9999-01-01T00:00:00Z' then
    raise exception '"run_at" must be in the years 1970 to 9998 (UTC)' using errcode = '22023';
  end if;
  if task ? 'delay' and task ? 'run_at' then
    raise exception 'a task has "delay" or "run_at", not both' using errcode = '22023';
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
    'run_at', (task ->> 'run_at')::timestamptz,
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
