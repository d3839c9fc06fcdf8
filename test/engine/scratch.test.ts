import { newId } from '../../src/core/ids.ts';
import { test } from '../support/database.ts';
import { publish, newProcess } from '../support/processes.ts';
import { startProcesses } from '../../src/engine/start.ts';

test('timing', async ({ database }) => {
  const { db, sql } = database;
  const small = await publish(database, { a: [], b: ['a'], c: ['b'] });
  const big = await publish(database, Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`t${i}`, i === 0 ? [] : [`t${i - 1}`]])));
  for (const [id, n] of [[small, 1], [small, 200], [small, 200], [small, 50], [big, 1], [big, 5], [big, 20]] as const) {
    const t = performance.now();
    await startProcesses(db, Array.from({ length: n }, () => newProcess({ definition_id: id, input: {} })));
    console.log(id === small ? 'small' : 'big', n, Math.round(performance.now() - t));
  }
  for (let v = 0; v < 300; v++) await sql(`insert into skipjack.definitions (id,name,version,checksum,source,plan,created_at) values ($1,'many',$2,$3,'x','{"tasks":[1]}',now())`, [newId(), v + 1, `c${v}`]);
  await sql('analyze skipjack.definitions');
  console.log((await sql(`explain (analyze, buffers) with recursive newest as (
       (select id, name from skipjack.definitions where name > '' order by name, version desc limit 1)
       union all
       select next.id, next.name
       from newest
       cross join lateral (
         select id, name from skipjack.definitions where name > newest.name order by name, version desc limit 1
       ) as next
     )
     select id from skipjack.definitions
     where id in (select id from newest limit 50) order by name`)).map((r) => r['QUERY PLAN']).join('\n'));
});
