import type { Database } from '../../database/connection.ts';
import { type Check, note, ok } from './check.ts';

const differenceMsMax = 1_000;

/**
 * How far this machine's clock is from the database's. Nothing depends on it (leases and due times are the
 * database's alone), but who compares the times in logs with those of tasks should know.
 */
export async function checkClock(db: Database): Promise<Check[]> {
  const askedAt = Date.now();
  const { rows } = await db.pool.query<{ at: Date }>('select clock_timestamp() as at');
  const answeredAt = Date.now();
  // The database looked at its clock somewhere between; half-way is wrong by half the round trip at most.
  const differenceMs = Math.round((rows[0]?.at.getTime() ?? answeredAt) - (askedAt + answeredAt) / 2);
  const uncertainMs = Math.ceil((answeredAt - askedAt) / 2);
  const detail = `the database's is ${Math.abs(differenceMs)} ms ${differenceMs < 0 ? 'behind' : 'ahead of'} this machine's (± ${uncertainMs} ms)`;
  if (Math.abs(differenceMs) <= differenceMsMax + uncertainMs) return [ok('clock', detail)];
  return [note('clock', `${detail}; times in logs will not agree with those of tasks`)];
}
