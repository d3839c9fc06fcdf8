-- Events: what comes from outside, and whoever waits for it.
--
--   skipjack.event_lock(name, key)    the lock under which senders and those who come to wait meet
--   skipjack.send_events(jsonb, …)    events → rows; every way in ends here
--   skipjack.send_event(…)            one event, inside your transaction

-- Whoever takes several takes them in one pass, by name and then key; never behind a row of event_waits.
create function skipjack.event_lock(name text, key text) returns bigint
language sql immutable
as $$
  select hashtextextended('skipjack event ' || name || chr(31) || key, 0)
$$;
--> statement-breakpoint
comment on function skipjack.event_lock(text, text) is
  'The advisory lock of an event: held by who sends it and by who comes to wait for it, to the end of their transactions.';
--> statement-breakpoint

-- Takes an array of {id, name, key, payload, idempotency_key}. The ids come from the caller and a known id is passed
-- over, so that a batch whose commit is unknown can be sent again: it answers what it did.
--
-- Under the locks of its events, in the next statement, whose snapshot sees what the locks had to wait for: all who
-- wait are handed to the engine, or the event is kept. So nobody comes to wait between the look and the event.
-- Of two with one name and key the first takes those who wait, and the second is kept.
--
-- `waits` false: an event whose lock is not free is answered `busy`, and nothing is done about it. Those with an
-- idempotency key are waited for all the same.
create function skipjack.send_events(new_events jsonb, waits boolean default true)
returns table (event_id uuid, outcome text, existing_id uuid, woken integer)
language plpgsql volatile
as $$
#variable_conflict use_column
declare
  keyed jsonb;
  answers jsonb := '[]';
  busy bigint[] := '{}';
  line record;
begin
  if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
    raise exception 'events are not sent at the isolation level %', current_setting('transaction_isolation')
      using errcode = '0A000', hint = 'An old snapshot does not see who waits. Send them at read committed, or over HTTP.';
  end if;

  select jsonb_agg(jsonb_build_object('id', id, 'key', idempotency_key,
    'fingerprint', md5(jsonb_build_object('name', name, 'key', coalesce(key, ''), 'payload', payload)::text)))
  into keyed
  from jsonb_to_recordset(new_events) as request (id uuid, name text, key text, payload jsonb, idempotency_key text)
  where idempotency_key is not null;
  if keyed is not null then
    select jsonb_agg(to_jsonb(taken)) into answers from skipjack.take_idempotency_keys('event', keyed) as taken;
  end if;

  for line in
    select request.name, coalesce(request.key, '') as key, bool_or(request.idempotency_key is not null) as is_keyed
    from jsonb_to_recordset(new_events) as request (id uuid, name text, key text, idempotency_key text)
    where not exists (
      select from jsonb_to_recordset(answers) as answer (id uuid, outcome text)
      where answer.id = request.id and answer.outcome <> 'created')
    group by 1, 2
    order by 1, 2
  loop
    if waits or line.is_keyed then
      perform pg_advisory_xact_lock(skipjack.event_lock(line.name, line.key));
    elsif not pg_try_advisory_xact_lock(skipjack.event_lock(line.name, line.key)) then
      busy := busy || skipjack.event_lock(line.name, line.key);
    end if;
  end loop;

  return query
  with request as materialized (
    select request.id, request.name, coalesce(request.key, '') as key, request.payload, request.place,
      case when skipjack.event_lock(request.name, coalesce(request.key, '')) = any (busy) then 'busy'
        else coalesce(answer.outcome, 'created') end as outcome,
      coalesce(answer.existing_id, request.id) as made_id
    from rows from (jsonb_to_recordset(new_events) as (id uuid, name text, key text, payload jsonb))
      with ordinality as request (id, name, key, payload, place)
    left join jsonb_to_recordset(answers) as answer (id uuid, outcome text, existing_id uuid) on answer.id = request.id
  ), known as materialized (
    select event.id, event.woken from skipjack.events as event
    where event.id = any (array(select made_id from request))
  ), fresh as materialized (
    select *, row_number() over (partition by name, key order by place) = 1 as is_first
    from request
    where outcome = 'created' and id not in (select id from known)
  ), found as materialized (
    -- Who stops a process deletes its waits in the same order.
    select wait.task_id, wait.process_id, wait.name, wait.key
    from skipjack.event_waits as wait
    where wait.task_id = any (array(
      select line.task_id
      from fresh
      cross join lateral (
        select task_id from skipjack.event_waits where name = fresh.name and key = fresh.key offset 0
      ) as line
      where fresh.is_first))
    order by wait.task_id
    for update
  ), unparked as (
    delete from skipjack.event_waits where task_id = any (array(select task_id from found))
  ), waiting as materialized (
    -- Where the task has ended in spite of its wait, the event is for others.
    select found.*
    from found
    cross join lateral (
      select from skipjack.tasks where id = found.task_id and waits_for = 'event' limit 1
    ) as task
  ), counted as materialized (
    select name, key, count(*)::integer as woken from waiting group by name, key
  ), sent as materialized (
    select fresh.*, case when fresh.is_first then coalesce(counted.woken, 0) else 0 end as woken
    from fresh
    left join counted on counted.name = fresh.name and counted.key = fresh.key
  ), thoughts as (
    insert into skipjack.engine_items (process_id, task_id, kind, available_at, details)
    select waiting.process_id, waiting.task_id, 'event', clock_timestamp(), jsonb_build_object('event_id', fresh.id)
    from waiting
    join fresh on fresh.is_first and fresh.name = waiting.name and fresh.key = waiting.key
    order by waiting.task_id
  ), clock as materialized (
    select clock_timestamp() as at
  ), made as (
    insert into skipjack.events (id, name, key, payload, created_at, taken_at, woken)
    select sent.id, sent.name, sent.key, sent.payload, clock.at, case when sent.woken > 0 then clock.at end, sent.woken
    from sent
    cross join clock
    order by sent.place
    on conflict (id) do nothing
  )
  select request.id, request.outcome, request.made_id, coalesce(sent.woken, known.woken)
  from request
  -- The other request with a key may stand in the same batch.
  left join sent on sent.id = request.made_id
  left join known on known.id = request.made_id;
end
$$;
--> statement-breakpoint
comment on function skipjack.send_events(jsonb, boolean) is
  'Sends an array of events; answers for each created, existing, key_conflict or busy, and how many it woke. For programs use skipjack.send_event.';
--> statement-breakpoint

create function skipjack.send_event(
  name text, key text default null, payload jsonb default null, idempotency_key text default null)
returns uuid
language plpgsql volatile
as $$
declare
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
  -- The library and HTTP take 1 MiB of compact JSON; Postgres writes the same with blanks.
  if octet_length(payload::text) > 2097152 then
    raise exception '"payload" is larger than 2097152 bytes' using errcode = '22023',
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
comment on function skipjack.send_event(text, text, jsonb, text) is
  'Sends an event inside your transaction and answers its id: select skipjack.send_event(''payment'', key => ''order 7'', payload => ''{"amount": 10}''). Until the transaction ends, whoever sends or comes to wait for the same name and key waits for it.';
