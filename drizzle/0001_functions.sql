-- What drizzle cannot write: storage settings, functions, views.
--
--   storage                        the queue table is small, hot and soon bloated: settings for that
--   skipjack.new_id()              UUIDv7 with sub-millisecond bits
--   skipjack.duration_ms(text)     '30s' → 30000
--   skipjack.retry_delay_ms(…)     when the next try comes
--   skipjack.request_fingerprint(jsonb)  whether two requests with one key are the same
--   skipjack.enqueue_tasks(jsonb)  checked tasks → rows; every way in ends here
--   skipjack.enqueue(jsonb)        one task, in the words of POST /v1/tasks, inside your transaction
--   views                          task_status, attempt_history, queue_depth, throughput

-- Each item is rewritten at claim, heartbeat and retry, then deleted. Half-empty pages keep heartbeats HOT;
-- vacuum comes by number, not by share, and without pausing.
alter table skipjack.queue_items set (
  fillfactor = 50,
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0,
  autovacuum_analyze_threshold = 5000
);
--> statement-breakpoint
-- A task's row is updated once, when it ends, and none of its indexes hold what changes: room for a HOT update.
alter table skipjack.tasks set (fillfactor = 80);
--> statement-breakpoint
insert into skipjack.compatibility (compatible_from) values (1);
--> statement-breakpoint

-- Layout of RFC 9562, section 5.7, with 12 bits of the millisecond's fraction in rand_a (method 3 of its
-- section 6.2), as Postgres 18's uuidv7() does: ids made one after the other sort in that order.
create function skipjack.new_id() returns uuid
language sql volatile
as $$
  select encode(
    substring(int8send(clock.microseconds / 1000) from 3)
      || int2send((28672 + (clock.microseconds % 1000) * 4096 / 1000)::int2)
      || substring(uuid_send(gen_random_uuid()) from 9),
    'hex')::uuid
  from (select (extract(epoch from clock_timestamp()) * 1000000)::bigint as microseconds) as clock
$$;
--> statement-breakpoint
comment on function skipjack.new_id() is 'A new UUIDv7; ids made one after the other sort in that order.';
--> statement-breakpoint

create function skipjack.duration_ms(duration text) returns bigint
language plpgsql immutable strict
as $$
declare
  parts text[] := regexp_match(duration, '^(\d{1,12}(?:\.\d{1,3})?)(ms|s|m|h|d)$');
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
comment on function skipjack.duration_ms(text) is 'Milliseconds in a duration written as 500ms, 30s, 10m, 2h or 7d.';
--> statement-breakpoint

-- With jitter the delay is spread over its upper half: tasks that failed together do not come back together,
-- and none comes back at once ("equal jitter").
create function skipjack.retry_delay_ms(retry jsonb, failures integer) returns bigint
language sql volatile
as $$
  select floor(case when coalesce((retry ->> 'jitter')::boolean, true) then delay * (0.5 + random() / 2) else delay end)::bigint
  from (
    select least(
      coalesce((retry ->> 'max_delay_ms')::float8, 3600000),
      coalesce((retry ->> 'delay_ms')::float8, 1000) * case coalesce(retry ->> 'backoff', 'exponential')
        when 'fixed' then 1
        when 'linear' then failures
        else 2 ^ least(failures - 1, 60)
      end) as delay
  ) as unspread
$$;
--> statement-breakpoint
comment on function skipjack.retry_delay_ms(jsonb, integer) is
  'The pause after the failure with this number (from 1), in milliseconds, by a task''s retry policy.';
--> statement-breakpoint

-- Times by their moment, not by how they were written: TypeScript sends what it was given, SQL what Postgres writes.
create function skipjack.request_fingerprint(new_task jsonb) returns text
language sql stable
as $$
  select md5((new_task - 'id' - 'idempotency_key' - 'awaited'
    || jsonb_build_object('run_at', extract(epoch from (new_task ->> 'run_at')::timestamptz)))::text)
$$;
--> statement-breakpoint
comment on function skipjack.request_fingerprint(jsonb) is
  'What makes two requests with one idempotency key the same: everything but who asked.';
--> statement-breakpoint

-- Takes tasks as core/task.ts names them (NewTask). The ids come from the caller and a known id is passed
-- over, so that a batch whose commit is unknown can be sent again. Keys are inserted in one sorted statement;
-- what was there already is read in the next, whose snapshot sees what the first had to wait for.
--
-- A key that the first found may be gone in the second: its task was deleted in between. Then one that asks for
-- a single key asks anew. One with several may hold a later key by now, and taking an earlier one after it can
-- end in a deadlock: it starts from the beginning, in a new transaction.
create function skipjack.enqueue_tasks(new_tasks jsonb)
returns table (task_id uuid, outcome text, existing_id uuid)
language plpgsql volatile
as $$
#variable_conflict use_column
declare
  tries_max constant integer := 10;
  keys integer;
  unknown integer;
  answers jsonb;
  refused uuid[] := '{}';
begin
  if jsonb_path_exists(new_tasks, '$[*].idempotency_key ? (@ != null)') then
    for tries in 1..tries_max loop
      insert into skipjack.idempotency_keys (scope, key, made_id, fingerprint, created_at)
      select 'task', keyed.value ->> 'idempotency_key', (keyed.value ->> 'id')::uuid,
        skipjack.request_fingerprint(keyed.value), clock_timestamp()
      from jsonb_array_elements(new_tasks) as keyed
      where keyed.value ->> 'idempotency_key' is not null
      order by keyed.value ->> 'idempotency_key', keyed.value ->> 'id'
      on conflict do nothing;

      -- Everything that is answered or decided comes from this one look: a second might see another deletion.
      select count(distinct keyed.value ->> 'idempotency_key'), count(*) filter (where known.made_id is null),
        jsonb_agg(jsonb_build_object(
          'task_id', keyed.value ->> 'id',
          'outcome', case when known.made_id = (keyed.value ->> 'id')::uuid then 'created'
            when known.fingerprint = skipjack.request_fingerprint(keyed.value) then 'existing'
            else 'key_conflict' end,
          'existing_id', known.made_id))
      into keys, unknown, answers
      from jsonb_array_elements(new_tasks) as keyed
      left join lateral (
        select made_id, fingerprint from skipjack.idempotency_keys
        where scope = 'task' and key = keyed.value ->> 'idempotency_key'
        limit 1
      ) as known on true
      where keyed.value ->> 'idempotency_key' is not null;

      exit when unknown = 0;
      if keys > 1 or tries = tries_max then
        raise exception 'a task was deleted while its idempotency key was being used again'
          using errcode = '40001', hint = 'Nothing was done. Repeat the transaction.';
      end if;
    end loop;

    return query select * from jsonb_to_recordset(answers) as answer (task_id uuid, outcome text, existing_id uuid);
    refused := array(
      select answer.task_id from jsonb_to_recordset(answers) as answer (task_id uuid, outcome text)
      where answer.outcome <> 'created');
  end if;

  with wanted as materialized (
    select *, coalesce(run_at, clock_timestamp() + coalesce(delay_ms, 0) * interval '1 millisecond') as available_at
    from jsonb_to_recordset(new_tasks) as (
      id uuid, name text, queue text, priority smallint, spec jsonb, input jsonb, labels jsonb, retry jsonb,
      timeout_ms bigint, delay_ms bigint, run_at timestamptz, awaited boolean)
    where id <> all (refused)
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
comment on function skipjack.enqueue_tasks(jsonb) is
  'Inserts an array of checked, normalised tasks; answers a row for each that has an idempotency key. For programs use skipjack.enqueue.';
--> statement-breakpoint

create function skipjack.enqueue(task jsonb) returns uuid
language plpgsql volatile
as $$
declare
  known_keys constant text[] := '{type,command,args,run,handler,env,name,queue,input,priority,delay,run_at,retry,timeout,idempotency_key,labels}';
  later_keys constant text[] := '{image,cmd,entrypoint,pre,post,volumes,mounts,networks,limits,gpus,registry,files,workdir,user,pull,sidecars}';
  types constant jsonb := '{"type": "string", "command": "string", "run": "string", "handler": "string", "name": "string",
    "queue": "string", "delay": "string", "run_at": "string", "timeout": "string", "idempotency_key": "string",
    "priority": "number", "args": "array", "env": "object", "retry": "object", "labels": "object"}';
  retry_types constant jsonb := '{"attempts": "number", "backoff": "string", "delay": "string", "max_delay": "string", "jitter": "boolean"}';
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
  select key into unknown from jsonb_object_keys(task) as key where key = any (later_keys) limit 1;
  if unknown is not null then
    raise exception 'not_supported_yet: "%" is for containers, which cannot be run yet', unknown using errcode = '0A000';
  end if;
  select key into unknown from jsonb_object_keys(task) as key where key <> all (known_keys) limit 1;
  if unknown is not null then
    raise exception 'unknown key "%"', unknown
      using errcode = '22023', hint = 'Known are ' || array_to_string(known_keys, ', ') || '.';
  end if;

  select key into unknown from jsonb_each(task) as member (key, value)
  where jsonb_typeof(value) <> types ->> key limit 1;
  if unknown is not null then
    raise exception '"%" is %, not %', unknown, jsonb_typeof(task -> unknown), types ->> unknown
      using errcode = '22023', hint = 'Leave out what you do not set.';
  end if;

  if (task ? 'command')::int + (task ? 'run')::int + (task ? 'handler')::int > 1 then
    raise exception 'a task has one of "command", "run" and "handler"' using errcode = '22023';
  end if;
  kind := case when task ? 'command' then 'command' when task ? 'run' then 'run' when task ? 'handler' then 'handler' end;
  if task ? 'type' and task ->> 'type' is distinct from kind then
    raise exception '"type" is "%" but there is no "%"', task ->> 'type', task ->> 'type' using errcode = '22023';
  end if;
  if kind is not null and task ->> kind = '' then
    raise exception '"%" must be a text that is not empty', kind using errcode = '22023';
  end if;
  if task ? 'args' and (kind is distinct from 'command' or jsonb_path_exists(task, '$.args[*] ? (@.type() != "string")')) then
    raise exception '"args" is a list of texts beside "command"' using errcode = '22023';
  end if;
  if task ? 'env' and (coalesce(kind, 'handler') = 'handler' or jsonb_path_exists(task, '$.env.* ? (@.type() != "string")')
      or exists (select from jsonb_object_keys(task -> 'env') as name where name !~ '^[A-Za-z_][A-Za-z0-9_]*$')) then
    raise exception '"env" is an object of names and texts beside "command" or "run"' using errcode = '22023';
  end if;
  if task ? 'labels' and exists (
      select from jsonb_each(task -> 'labels') as label (key, value)
      where jsonb_typeof(value) <> 'string' or char_length(key) not between 1 and 63 or char_length(value #>> '{}') > 200) then
    raise exception '"labels" is an object of texts; a name has 1 to 63 letters, a value at most 200' using errcode = '22023';
  end if;
  if task ->> 'run_at' !~ '^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$' then
    raise exception '"run_at" is not a time' using errcode = '22023', hint = 'Write 2031-01-02T03:04:05Z.';
  end if;
  if (task ->> 'run_at')::timestamptz < '1970-01-01T00:00:00Z' or (task ->> 'run_at')::timestamptz >= '9999-01-01T00:00:00Z' then
    raise exception '"run_at" must be in the years 1970 to 9998 (UTC)' using errcode = '22023';
  end if;
  if jsonb_path_exists(task, '$.args[*] ? (@ like_regex "\\$\\{\\{")') or jsonb_path_exists(task, '$.env.* ? (@ like_regex "\\$\\{\\{")')
      or task ->> 'run' like '%${{%' then
    raise exception 'not_supported_yet: "${{" expressions cannot be evaluated yet' using errcode = '0A000';
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

  spec := case kind
    when 'command' then jsonb_build_object('type', 'command', 'command', task -> 'command', 'args', coalesce(task -> 'args', '[]'))
    when 'run' then jsonb_build_object('type', 'run', 'run', task -> 'run')
    when 'handler' then jsonb_build_object('type', 'handler', 'handler', task -> 'handler')
  end;
  if task ? 'env' then
    spec := spec || jsonb_build_object('env', task -> 'env');
  end if;
  if task ? 'retry' then
    select key into unknown from jsonb_each(task -> 'retry') as member (key, value)
    where jsonb_typeof(value) is distinct from retry_types ->> key limit 1;
    if unknown is not null then
      raise exception '"%" in "retry" is unknown or of another type', unknown
        using errcode = '22023', hint = 'Known are attempts, backoff, delay, max_delay, jitter.';
    end if;
    retry := jsonb_build_object(
      'attempts', coalesce((task #>> '{retry,attempts}')::integer, 1),
      'backoff', coalesce(task #>> '{retry,backoff}', 'exponential'),
      'delay_ms', coalesce(skipjack.duration_ms(task #>> '{retry,delay}'), 1000),
      'max_delay_ms', coalesce(skipjack.duration_ms(task #>> '{retry,max_delay}'), 3600000),
      'jitter', coalesce((task #>> '{retry,jitter}')::boolean, true));
    if (retry ->> 'attempts')::integer not between 1 and 1000 or retry ->> 'backoff' not in ('fixed', 'linear', 'exponential') then
      raise exception '"retry" has attempts from 1 to 1000 and a backoff of fixed, linear or exponential' using errcode = '22023';
    end if;
  end if;

  queue_name := coalesce(task ->> 'queue', case kind when 'handler' then task ->> 'handler' when 'command' then 'default' when 'run' then 'default' else 'people' end);
  task_name := coalesce(task ->> 'name', left(case kind when 'command' then task ->> 'command' when 'handler' then task ->> 'handler' when 'run' then 'run' end, 200));
  if task_name is null then
    raise exception 'a task with nothing to run needs a "name"'
      using errcode = '22023', hint = 'Give it one of "command", "run", "handler", or a "name" for whoever claims it.';
  end if;

  select * into answer from skipjack.enqueue_tasks(jsonb_build_array(jsonb_build_object(
    'id', id,
    'name', task_name,
    'queue', queue_name,
    'priority', coalesce((task ->> 'priority')::integer, 5),
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
  perform pg_notify('skipjack', jsonb_build_object('lines', jsonb_build_array(jsonb_build_array(queue_name, coalesce((task ->> 'priority')::integer, 5))))::text);
  return id;
end
$$;
--> statement-breakpoint
comment on function skipjack.enqueue(jsonb) is
  'Enqueues one task inside your transaction, in the words of POST /v1/tasks, and answers its id: select skipjack.enqueue(''{"command": "echo", "args": ["hello"]}'').';
--> statement-breakpoint

create view skipjack.task_status as
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
  task.error
from skipjack.tasks as task
left join skipjack.queue_items as item on item.task_id = task.id;
--> statement-breakpoint
comment on view skipjack.task_status is
  'Each task as people see it: state is pending, scheduled, ready, running, completed, failed, cancelled or skipped; available_at is when an active one is due.';
--> statement-breakpoint

create view skipjack.attempt_history as
select task_id, claim_no, attempt, outcome, worker, error, exit_code, claimed_at, started_at, ended_at, run_ms
from skipjack.attempts
union all
select id, claim_no, failures + losses + 1, 'completed', worker, null, exit_code, null, started_at, finished_at, run_ms
from skipjack.tasks
where state = 'completed';
--> statement-breakpoint
comment on view skipjack.attempt_history is
  'Every attempt that has ended: those that did not complete their task, and the one that did. Order by claim_no.';
--> statement-breakpoint

create view skipjack.queue_depth as
select
  item.queue,
  coalesce(bool_or(line.paused), false) as paused,
  count(*) filter (where item.started_at is null and item.available_at <= now()) as ready,
  count(*) filter (where item.started_at is null and item.available_at > now()) as scheduled,
  count(*) filter (where item.started_at is not null) as running,
  min(item.available_at) filter (where item.worker is null and item.available_at <= now()) as oldest_ready_at
from skipjack.queue_items as item
left join skipjack.queues as line on line.name = item.queue
group by item.queue;
--> statement-breakpoint
comment on view skipjack.queue_depth is 'What waits and runs on each queue that has live tasks.';
--> statement-breakpoint

create view skipjack.throughput as
select
  date_trunc('minute', finished_at) as minute,
  queue,
  count(*) filter (where state = 'completed') as completed,
  count(*) filter (where state = 'failed') as failed,
  count(*) filter (where state = 'cancelled') as cancelled,
  avg(wait_ms) filter (where state = 'completed') as wait_ms_mean,
  avg(run_ms) filter (where state = 'completed') as run_ms_mean
from skipjack.tasks
where finished_at is not null
group by 1, 2;
--> statement-breakpoint
comment on view skipjack.throughput is 'Tasks that ended, by minute and queue. Reads every task that is kept.';
