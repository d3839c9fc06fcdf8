-- Logs of attempts: how lines get in, and how people read them.
--
--   skipjack.lock_logs(uuid[])     whoever adds to these logs, or deletes them, does so one after the other
--   skipjack.append_logs(jsonb)    chunks of many claims → rows
--   skipjack.delete_logs()         trigger: logs of tasks that are deleted
--   view                           log_lines

-- A seed of its own: the advisory locks of claims and definitions are hashes with the seed 0.
create function skipjack.lock_logs(owners uuid[]) returns void
language plpgsql volatile
as $$
begin
  -- By key and not by id, so that even ids whose hashes are equal cannot be locked in two orders.
  perform pg_advisory_xact_lock(lock.key)
  from (
    select distinct hashtextextended(owner::text, 7341866) as key
    from unnest(owners) as owner
    order by 1
  ) as lock;
end
$$;
--> statement-breakpoint
comment on function skipjack.lock_logs(uuid[]) is
  'Locks the logs of processes, and of tasks that belong to none, until the end of the transaction.';
--> statement-breakpoint

-- Takes an array of {task_id, claim_no, first_line, lines: [[ago_ms, stream, part, text]]}.
--
-- Ids have to grow in the order of commits, within a task and within a process: whoever follows a log asks for
-- what is behind the last id, and an id that came later from below would never be seen. So whoever adds to a log
-- holds its lock until the commit, and ids are drawn under it. The fence (is this claim still held?) is asked
-- in a later statement than the lock, for its snapshot must be from after the wait. A claim whose lease has
-- expired counts until it is reaped.
--
-- Lines are numbered by who sends them, so that what is sent twice counts once: lines up to the last one that is
-- kept are passed over, and what comes behind is added, also of a chunk that was cut otherwise the first time.
-- Without a first_line they come behind the last one. Chunks of one claim are taken in their order, one a turn.
--
-- Planned with its values each time: a plan from when the table was empty would read all of it.
create function skipjack.append_logs(chunks jsonb)
returns table (place integer, outcome text)
language plpgsql volatile
set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
  bytes_max constant bigint := 16777216;
  owners uuid[];
  this_turn jsonb;
begin
  select array_agg(distinct coalesce(item.process_id, item.task_id))
  into owners
  from (select distinct task_id from jsonb_to_recordset(chunks) as chunk (task_id uuid)) as said
  cross join lateral (
    select item.task_id, item.process_id from skipjack.queue_items as item where item.task_id = said.task_id limit 1
  ) as item;

  perform skipjack.lock_logs(owners);

  -- Each turn looks at its own chunks only: with a thousand of one claim, all would be read a thousand times.
  for this_turn in
    select jsonb_agg(jsonb_build_array(said.place, said.chunk))
    from (
      select chunk.value as chunk, chunk.place, row_number() over (
        partition by (chunk.value ->> 'task_id')::uuid, (chunk.value ->> 'claim_no')::integer order by chunk.place) as turn
      from jsonb_array_elements(chunks) with ordinality as chunk (value, place)
    ) as said
    group by said.turn
    order by said.turn
  loop
    return query
    with said as materialized (
      select (given.value ->> 0)::integer as place, chunk.*, jsonb_array_length(chunk.lines) as line_count
      from jsonb_array_elements(this_turn) as given
      cross join lateral jsonb_to_record(given.value -> 1)
        as chunk (task_id uuid, claim_no integer, first_line integer, lines jsonb)
    ), held as materialized (
      select said.place, said.task_id, said.claim_no, item.process_id, item.attempt, said.lines, said.line_count,
        coalesce(last.next_line, 1) as next_line, coalesce(last.bytes_so_far, 0) as bytes_before,
        coalesce(said.first_line, last.next_line, 1) as first_line
      from said
      cross join lateral (
        select item.process_id, item.failures + item.losses + 1 as attempt
        from skipjack.queue_items as item
        where item.task_id = said.task_id and item.claim_no = said.claim_no and item.worker is not null
          and coalesce(item.process_id, item.task_id) = any (owners)
        limit 1
      ) as item
      left join lateral (
        select chunk.first_line + chunk.line_count as next_line, chunk.bytes_so_far
        from skipjack.task_logs as chunk
        where chunk.task_id = said.task_id and chunk.claim_no = said.claim_no
        order by chunk.first_line desc
        limit 1
      ) as last on true
    ), fresh as materialized (
      select held.place, held.task_id, held.claim_no, held.process_id, held.attempt, held.bytes_before,
        greatest(held.first_line, held.next_line) as first_line,
        held.line_count - greatest(held.next_line - held.first_line, 0) as line_count,
        case when held.next_line <= held.first_line then held.lines else (
          select jsonb_agg(line.value order by line.place)
          from jsonb_array_elements(held.lines) with ordinality as line (value, place)
          where line.place > held.next_line - held.first_line
        ) end as lines
      from held
    ), sized as materialized (
      select fresh.*, fresh.bytes_before + (
        -- A line without text takes room too.
        select coalesce(sum(octet_length(line ->> 3) + 1), 0) from jsonb_array_elements(fresh.lines) as line
      ) as bytes_so_far
      from fresh
      where fresh.line_count > 0
    ), added as (
      insert into skipjack.task_logs (task_id, claim_no, attempt, process_id, first_line, line_count, bytes_so_far, at, lines)
      select sized.task_id, sized.claim_no, sized.attempt, sized.process_id, sized.first_line,
        sized.line_count + is_last::integer, sized.bytes_so_far, clock_timestamp(),
        sized.lines || case when is_last then jsonb_build_array(jsonb_build_array(0, 'skipjack', null,
          'The log of this attempt has grown to 16 MiB; what it says after this is not kept.')) else '[]' end
      from sized
      cross join lateral (select sized.bytes_so_far >= bytes_max as is_last) as end_of_log
      where sized.bytes_before < bytes_max
      on conflict do nothing
    )
    select said.place,
      case when held.place is null then 'lease_lost'
        when sized.bytes_before >= bytes_max then 'full'
        else 'kept' end
    from said
    left join held on held.place = said.place
    left join sized on sized.place = said.place;
  end loop;
end
$$;
--> statement-breakpoint
comment on function skipjack.append_logs(jsonb) is
  'Adds an array of {task_id, claim_no, first_line, lines: [[ago_ms, stream, part, text]]} to the logs of claims; answers for each by its place, from 1, whether it is kept, full or lease_lost.';
--> statement-breakpoint

-- A trigger, so that a replica which knows nothing of logs leaves none behind either.
create function skipjack.delete_logs() returns trigger
language plpgsql
set plan_cache_mode = force_custom_plan
as $$
begin
  -- A last chunk that is on its way is committed before this, or finds no claim after it.
  perform skipjack.lock_logs(array(select distinct coalesce(process_id, id) from gone));
  -- By their places: where it believes that little was ever said, Postgres would rather read all of it.
  delete from skipjack.task_logs where ctid = any (array(
    select chunk.ctid from gone
    cross join lateral (select ctid from skipjack.task_logs where task_id = gone.id offset 0) as chunk));
  return null;
end
$$;
--> statement-breakpoint
comment on function skipjack.delete_logs() is 'Deletes the logs of deleted tasks.';
--> statement-breakpoint
create trigger a_deleted_task_takes_its_log_along after delete on skipjack.tasks
  referencing old table as gone for each statement execute function skipjack.delete_logs();
--> statement-breakpoint

create view skipjack.log_lines as
select
  chunk.task_id,
  chunk.claim_no,
  chunk.attempt,
  chunk.process_id,
  chunk.first_line + said.place::integer - 1 as line,
  chunk.at - (said.line ->> 0)::float8 * interval '1 millisecond' as at,
  said.line ->> 1 as stream,
  said.line ->> 2 as part,
  said.line ->> 3 as text
from skipjack.task_logs as chunk
cross join lateral jsonb_array_elements(chunk.lines) with ordinality as said (line, place);
--> statement-breakpoint
comment on view skipjack.log_lines is
  'What attempts said, a row for each line: stream is stdout, stderr or skipjack (what the worker says itself), part is which part of a container task spoke. Order by claim_no, line; ask for one task_id or process_id.';
