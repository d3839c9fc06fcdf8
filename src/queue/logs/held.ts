/** Whether claims are still held, and which database says so: for workers that look for what a dead one left behind. */
import { decodeToken } from '../../core/token.ts';
import type { Database } from '../../database/connection.ts';

/** Answers in the order of `claims`. A claim whose lease has run out is held until it is reaped. */
export async function findHeld(
  db: Database,
  claims: { id: string; token: string }[],
): Promise<{ instance: string; held: boolean[] }> {
  const wanted = claims.map(({ id, token }) => decodeToken(token, id));
  const { rows } = await db.pool.query<{ instance: string; held: boolean[] }>(
    `select compatibility.instance_id as instance, array(
       select exists (
         select from skipjack.queue_items as item
         where item.task_id = claim.task_id and item.claim_no = claim.claim_no and item.worker is not null)
       from unnest($1::uuid[], $2::integer[]) with ordinality as claim (task_id, claim_no, place)
       order by claim.place) as held
     from skipjack.compatibility`,
    [wanted.map((claim) => claim?.taskId ?? null), wanted.map((claim) => claim?.claimNo ?? null)],
  );
  const [answer] = rows;
  if (!answer) throw new Error('the database does not say which one it is: skipjack.compatibility is empty');
  return answer;
}
