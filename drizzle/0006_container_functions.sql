-- Container tasks, secrets and stdin in skipjack.enqueue(jsonb). What core/container-input.ts says of a task over
-- HTTP these functions say of one in SQL; a test holds the two together.
--
--   skipjack.has_template(text)                 is there a "${{" that refers to no secret?
--   skipjack.is_path(text)                      a path that a container task may name
--   skipjack.size_bytes(text)                   '512m' → 536870912
--   skipjack.check_members(jsonb, jsonb, text)  keys that nobody knows, values of another type
--   skipjack.check_arguments(jsonb, text)       a list of arguments
--   skipjack.check_env(jsonb, text)             an environment
--   skipjack.check_part(jsonb, text)            what a container runs: the task's own, or a part of it
--   skipjack.check_probe(jsonb, text)           how a sidecar says that it is ready
--   skipjack.check_container(jsonb)             a whole container task
--   skipjack.enqueue(jsonb)                     one task, in the words of POST /v1/tasks, inside your transaction
--
-- What checks answers null, or what is wrong: where, and never with the value. An answer that begins with
-- "not_supported_yet" is about what a later version brings.

create function skipjack.has_template(given text) returns boolean
language sql immutable strict
as $$
  -- The blanks are JavaScript's, whatever the locale.
  select given like '%${{%' and regexp_replace(given,
    '\$\{\{[ \t\n\v\f\r\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]*'
      || 'secrets\.[A-Za-z_][A-Za-z0-9_]{0,99}'
      || '[ \t\n\v\f\r\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]*\}\}',
    '', 'g') like '%${{%'
$$;
--> statement-breakpoint
comment on function skipjack.has_template(text) is
  'Whether a text has a "${{" that is no reference to a secret (${{ secrets.NAME }}).';
--> statement-breakpoint

create function skipjack.is_path(given text) returns boolean
language sql immutable strict
as $$
  -- The container runtimes take apart what mounts something at ":" and ",".
  select char_length(given) <= 4096 and given ~ '^/' and given !~ '(^|/)\.\.(/|$)' and given !~ '[:,]'
    and rtrim(given, '/') <> '' and given not like '%${{%'
$$;
--> statement-breakpoint
comment on function skipjack.is_path(text) is 'Whether a text is an absolute path that a container task may name.';
--> statement-breakpoint

create function skipjack.size_bytes(given text) returns bigint
language sql immutable strict
as $$
  select bytes::bigint
  from regexp_match(given, '^([0-9]{1,15}(?:\.[0-9]{1,3})?)[ \t\n\v\f\r\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]?([kKmMgGtT]?)(?:[iI]?[bB])?$') as parts,
    round(parts[1]::numeric * case lower(parts[2]) when '' then 1
      when 'k' then 1024 when 'm' then 1048576 when 'g' then 1073741824 else 1099511627776 end) as bytes
  where bytes <= 9007199254740991
$$;
--> statement-breakpoint
comment on function skipjack.size_bytes(text) is
  'Bytes in a size written as 512m or 2g, where k is 1024; null when it is no size.';
--> statement-breakpoint

-- `types` names the type of each key that is known, or several: {"gpus": "number|string"}. An "integer" is a number
-- without a fraction.
create function skipjack.check_members(given jsonb, types jsonb, place text) returns text
language sql immutable
as $$
  select case
    when jsonb_typeof(given) <> 'object' then format('"%s" is not an object', place)
    else (
      select case when wanted is null then format('unknown key "%s"%s', key, nullif(' in "' || place || '"', ' in ""'))
          else format('"%s" is %s, not %s', concat_ws('.', nullif(place, ''), key), actual, replace(wanted, '|', ' or ')) end
      from jsonb_each(given) as member (key, value),
        lateral (select types ->> key as wanted, jsonb_typeof(value) as actual) as type
      where wanted is null
        or actual <> all (string_to_array(wanted, '|'))
          and not (wanted ~ 'integer' and actual = 'number' and value::numeric = trunc(value::numeric))
      limit 1)
  end
$$;
--> statement-breakpoint
comment on function skipjack.check_members(jsonb, jsonb, text) is
  'What is wrong with the keys of an object and the types of their values; null: nothing.';
--> statement-breakpoint

create function skipjack.check_arguments(given jsonb, place text) returns text
language sql immutable
as $$
  select case
    when given is null then null
    when jsonb_typeof(given) <> 'array' or jsonb_array_length(given) > 1000
        or exists (select from jsonb_array_elements(given) as argument where jsonb_typeof(argument) <> 'string')
      then format('"%s" is a list of at most 1000 texts', place)
    when exists (select from jsonb_array_elements_text(given) as argument where char_length(argument) > 131072)
      then format('"%s" has a text of more than 131072 letters', place)
    when exists (select from jsonb_array_elements_text(given) as argument where skipjack.has_template(argument))
      then format('not_supported_yet: "%s" has "${{" that is no reference to a secret', place)
  end
$$;
--> statement-breakpoint
comment on function skipjack.check_arguments(jsonb, text) is 'What is wrong with a list of arguments; null: nothing.';
--> statement-breakpoint

create function skipjack.check_env(given jsonb, place text) returns text
language sql immutable
as $$
  select case
    when given is null then null
    when jsonb_typeof(given) <> 'object' or exists (
        select from jsonb_each(given) as variable (name, value)
        where jsonb_typeof(value) <> 'string' or name !~ '^[A-Za-z_][A-Za-z0-9_]*$')
      then format('"%s" is an object of names and texts', place)
    when (select count(*) from jsonb_object_keys(given)) > 200 then format('"%s" has more than 200 variables', place)
    when exists (select from jsonb_each_text(given) as variable (name, value) where char_length(value) > 32768)
      then format('"%s" has a text of more than 32768 letters', place)
    when exists (select from jsonb_each_text(given) as variable (name, value) where skipjack.has_template(value))
      then format('not_supported_yet: "%s" has "${{" that is no reference to a secret', place)
  end
$$;
--> statement-breakpoint
comment on function skipjack.check_env(jsonb, text) is 'What is wrong with an environment; null: nothing.';
--> statement-breakpoint

-- Of a part whose members were checked. `place` is that of the part with a dot behind it, or empty.
create function skipjack.check_part(part jsonb, place text) returns text
language sql immutable
as $$
  select case
    when part ->> 'image' is null then format('"%simage" is missing', place)
    when char_length(part ->> 'image') > 500 or part ->> 'image' !~ '^[A-Za-z0-9][A-Za-z0-9._:/@-]*$'
      then format('"%simage" is not the name of an image', place)
    when part ->> 'run' = '' or char_length(part ->> 'run') > 262144
      then format('"%srun" is a script of 1 to 262144 letters', place)
    when part ->> 'run' like '%${{%'
      then format('"%srun" has "${{": a script is never a template, hand values over in "env"', place)
    when part ? 'run' and (part ? 'cmd' or part ? 'entrypoint')
      then format('"%srun" cannot go with "cmd" or "entrypoint"', place)
    when part -> 'entrypoint' = '[]' then format('"%sentrypoint" is empty', place)
    when part ? 'workdir' and not skipjack.is_path(part ->> 'workdir')
      then format('"%sworkdir" is not an absolute path', place)
    when char_length(part ->> 'user') > 100
        or part ->> 'user' !~ '^[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?$'
      then format('"%suser" is neither a user nor user:group', place)
    when exists (select from jsonb_each(part -> 'files') as file (name, content) where jsonb_typeof(content) <> 'string')
        or (select count(*) > 100 or sum(char_length(content)) > 1048576 from jsonb_each_text(part -> 'files') as file (name, content))
      then format('"%sfiles" is an object of at most 100 texts, of 1048576 letters in all', place)
    when exists (
        select from jsonb_object_keys(part -> 'files') as name
        where char_length(name) not between 1 and 500 or name ~ '(^|/)\.\.?(/|$)|/$' or name like '%${{%')
      then format('"%sfiles" has a name that is not the path of a file', place)
    when exists (select from jsonb_each_text(part -> 'files') as file (name, content) where content like '%${{%')
      then format('"%sfiles" has "${{": a file is no template, hand values over in "env"', place)
    else coalesce(
      skipjack.check_arguments(part -> 'cmd', place || 'cmd'),
      skipjack.check_arguments(part -> 'entrypoint', place || 'entrypoint'),
      skipjack.check_env(part -> 'env', place || 'env'))
  end
$$;
--> statement-breakpoint
comment on function skipjack.check_part(jsonb, text) is
  'What is wrong with what a container runs, of a task or of a part of one; null: nothing.';
--> statement-breakpoint

create function skipjack.check_probe(probe jsonb, place text) returns text
language sql immutable strict
as $$
  select coalesce(
    skipjack.check_members(probe, '{"cmd": "array", "port": "integer", "path": "string", "interval": "string", "timeout": "string"}', place),
    case
      when probe ? 'cmd' = probe ? 'port' then format('"%s" has one of "cmd" and "port"', place)
      when probe ? 'path' and not probe ? 'port' then format('"%s.path" goes with "port"', place)
      when probe ? 'cmd' and (jsonb_array_length(probe -> 'cmd') not between 1 and 100 or exists (
          select from jsonb_array_elements(probe -> 'cmd') as argument
          where jsonb_typeof(argument) <> 'string' or char_length(argument #>> '{}') not between 1 and 4096 or argument #>> '{}' like '%${{%'))
        then format('"%s.cmd" is a list of 1 to 100 texts, and no template', place)
      when (probe ->> 'port')::numeric not between 1 and 65535 then format('"%s.port" is not between 1 and 65535', place)
      when char_length(probe ->> 'path') > 1000 or probe ->> 'path' !~ '^/[\x21-\x7e]*$' or probe ->> 'path' like '%${{%'
        then format('"%s.path" is not the path of a URL', place)
      when skipjack.duration_ms(probe ->> 'interval') = 0 or skipjack.duration_ms(probe ->> 'timeout') = 0
        then format('"%s" has a duration that is not longer than 0', place)
    end)
$$;
--> statement-breakpoint
comment on function skipjack.check_probe(jsonb, text) is
  'What is wrong with the probe of a sidecar; null: nothing.';
--> statement-breakpoint

create function skipjack.check_container(task jsonb) returns text
language plpgsql immutable
as $$
declare
  part_types constant jsonb := '{"image": "string", "cmd": "array", "entrypoint": "array", "run": "string", "env": "object",
    "files": "object", "workdir": "string", "user": "string", "name": "string"}';
  bounds constant jsonb := '{"volumes": 20, "mounts": 20, "networks": 10, "pre": 20, "post": 20, "sidecars": 10}';
  size_hint constant text := 'write 512m or 2g';
  problem text;
  key text;
  item jsonb;
  place text;
begin
  problem := skipjack.check_part(task, '');
  if problem is not null then
    return problem;
  end if;

  for key, item in select bound.key, task -> bound.key from jsonb_each(bounds) as bound where task ? bound.key loop
    if jsonb_array_length(item) > (bounds ->> key)::integer then
      return format('"%s" has more than %s items', key, bounds ->> key);
    end if;
  end loop;
  if exists (
      select from jsonb_array_elements(task -> 'volumes') as volume
      where jsonb_typeof(volume) <> 'string' or not skipjack.is_path(volume #>> '{}'))
    or (select count(*) <> count(distinct volume) from jsonb_array_elements(task -> 'volumes') as volume) then
    return '"volumes" is a list of absolute paths, each once';
  end if;
  if exists (
      select from jsonb_array_elements(task -> 'networks') as network
      where jsonb_typeof(network) <> 'string' or char_length(network #>> '{}') > 100
        or network #>> '{}' !~ '^[A-Za-z0-9][A-Za-z0-9_.-]*$' or network #>> '{}' = 'host') then
    return '"networks" is a list of names; the network of the machine, "host", is for no task';
  end if;
  if task ->> 'pull' not in ('missing', 'always', 'never') then
    return '"pull" is none of missing, always and never';
  end if;
  -- A count may be a text. As a number it may be 2.0.
  if (case jsonb_typeof(task -> 'gpus') when 'number' then trunc((task -> 'gpus')::numeric)::text else task ->> 'gpus' end)
      !~ '^(all|device=[A-Za-z0-9_,-]{1,200}|[1-9][0-9]?)$' then
    return '"gpus" is neither "all", a count from 1 to 99, nor "device=…"';
  end if;

  if task ? 'limits' then
    item := task -> 'limits';
    problem := skipjack.check_members(item, '{"cpus": "number", "memory": "string", "pids": "integer"}', 'limits');
    if problem is not null then
      return problem;
    elsif (item ->> 'cpus')::numeric not between 0.01 and 1024 then
      return '"limits.cpus" is not between 0.01 and 1024';
    elsif item ? 'memory' and coalesce(skipjack.size_bytes(item ->> 'memory'), 0) < 6291456 then
      return '"limits.memory" is not a size of at least 6m: ' || size_hint;
    elsif (item ->> 'pids')::numeric not between 1 and 1000000 then
      return '"limits.pids" is not between 1 and 1000000';
    end if;
  end if;

  if task ? 'registry' then
    item := task -> 'registry';
    problem := skipjack.check_members(item, '{"username": "string", "password": "string"}', 'registry');
    if problem is not null then
      return problem;
    elsif coalesce(char_length(item ->> 'username'), 0) not between 1 and 1000
        or coalesce(char_length(item ->> 'password'), 0) not between 1 and 4096 then
      return '"registry" has a username and a password';
    elsif skipjack.has_template(item ->> 'username') or skipjack.has_template(item ->> 'password') then
      return 'not_supported_yet: "registry" has "${{" that is no reference to a secret';
    end if;
  end if;

  for item, place in
    select value, format('mounts.%s', ordinality - 1) from jsonb_array_elements(task -> 'mounts') with ordinality
  loop
    problem := skipjack.check_members(item, case item ->> 'type'
      when 'bind' then jsonb '{"type": "string", "source": "string", "target": "string", "read_only": "boolean"}'
      when 'tmpfs' then '{"type": "string", "target": "string", "size": "string"}' else '{}' end, place);
    if coalesce(item ->> 'type', '') not in ('bind', 'tmpfs') then
      return format('"%s" is an object with a "type" of "bind" or "tmpfs"', place);
    elsif problem is not null then
      return problem;
    elsif not coalesce(skipjack.is_path(item ->> 'target'), false)
        or item ->> 'type' = 'bind' and not coalesce(skipjack.is_path(item ->> 'source'), false) then
      return format('"%s" has absolute paths: "target", and "source" where its type is bind', place);
    elsif item ? 'size' and skipjack.size_bytes(item ->> 'size') is null then
      return format('"%s.size" is not a size: %s', place, size_hint);
    end if;
  end loop;

  for key, item, place in
    select list.key, value, format('%s.%s', list.key, ordinality - 1)
    from unnest(array['pre', 'post', 'sidecars']) as list (key), jsonb_array_elements(task -> list.key) with ordinality
  loop
    problem := coalesce(
      skipjack.check_members(item, part_types || case key when 'sidecars' then jsonb '{"probe": "object"}' else '{"timeout": "string"}' end, place),
      skipjack.check_part(item, place || '.'),
      skipjack.check_probe(item -> 'probe', place || '.probe'));
    if problem is not null then
      return problem;
    elsif key = 'sidecars' and coalesce(item ->> 'name', '') !~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$' then
      return format('"%s.name" is not a host name: small letters, digits and "-"', place);
    elsif char_length(item ->> 'name') not between 1 and 100 or item ->> 'name' like '%${{%' then
      return format('"%s.name" has 1 to 100 letters, and is no template', place);
    elsif skipjack.duration_ms(item ->> 'timeout') = 0 then
      return format('"%s.timeout" must be longer than 0', place);
    end if;
  end loop;
  if (select count(*) <> count(distinct sidecar -> 'name') from jsonb_array_elements(task -> 'sidecars') as sidecar) then
    return '"sidecars" has a name twice';
  end if;
  return null;
end
$$;
--> statement-breakpoint
comment on function skipjack.check_container(jsonb) is
  'What is wrong with a container task whose own keys and their types were checked; null: nothing.';
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
  retry_types constant jsonb := '{"attempts": "integer", "backoff": "string", "delay": "string", "max_delay": "string", "jitter": "boolean"}';
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
  if problem is not null then
    raise exception '%', problem using errcode = case when problem like 'not\_supported\_yet%' then '0A000' else '22023' end;
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
    problem := skipjack.check_members(task -> 'retry', retry_types, 'retry');
    if problem is not null then
      raise exception '%', problem using errcode = '22023', hint = 'Known are attempts, backoff, delay, max_delay, jitter.';
    end if;
    retry := jsonb_build_object(
      'attempts', coalesce((task #>> '{retry,attempts}')::numeric::integer, 1),
      'backoff', coalesce(task #>> '{retry,backoff}', 'exponential'),
      'delay_ms', coalesce(skipjack.duration_ms(task #>> '{retry,delay}'), 1000),
      'max_delay_ms', coalesce(skipjack.duration_ms(task #>> '{retry,max_delay}'), 3600000),
      'jitter', coalesce((task #>> '{retry,jitter}')::boolean, true));
    if (retry ->> 'attempts')::integer not between 1 and 1000 or retry ->> 'backoff' not in ('fixed', 'linear', 'exponential') then
      raise exception '"retry" has attempts from 1 to 1000 and a backoff of fixed, linear or exponential' using errcode = '22023';
    end if;
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
