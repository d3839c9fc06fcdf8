/**
 * Publish: a checked text becomes an immutable version of a definition.
 *
 * The same text as the newest version's is that version, so that to publish at every start of a program is to
 * publish once. An earlier version's text is published anew: what was published last is what a name means.
 */
import { createHash } from 'node:crypto';
import { newId } from '../core/ids.ts';
import type { Plan } from '../core/plan.ts';
import { type Database, inTransaction } from '../database/connection.ts';

export interface CheckedDefinition {
  source: string;
  plan: Plan;
}

export interface Published {
  id: string;
  name: string;
  version: number;
  /** False: the newest version had this very text. */
  created: boolean;
}

export async function publishDefinition(
  db: Database,
  name: string,
  { source, plan }: CheckedDefinition,
): Promise<Published> {
  const checksum = checksumOf(source);
  return inTransaction(db, async (tx) => {
    // Two at once: the second finds what the first made.
    await tx.query(`select pg_advisory_xact_lock(hashtextextended('skipjack definition ' || $1, 0))`, [name]);
    const { rows } = await tx.query<{ id: string; version: number; checksum: string }>(
      'select id, version, checksum from skipjack.definitions where name = $1 order by version desc limit 1',
      [name],
    );
    const newest = rows[0];
    if (newest?.checksum === checksum)
      return { id: newest.id, name, version: newest.version, created: false };
    const id = newId();
    const version = (newest?.version ?? 0) + 1;
    await tx.query(
      `insert into skipjack.definitions (id, name, version, checksum, source, plan, created_at)
       values ($1, $2, $3, $4, $5, $6::jsonb, clock_timestamp())`,
      [id, name, version, checksum, source, JSON.stringify({ ...plan, name })],
    );
    return { id, name, version, created: true };
  });
}

/** The id of the inline definition with this text; null: it has not been here. */
export async function findInlineDefinition(db: Database, source: string): Promise<string | null> {
  const { rows } = await db.pool.query<{ id: string }>(
    'select id from skipjack.definitions where name is null and checksum = $1',
    [checksumOf(source)],
  );
  return rows[0]?.id ?? null;
}

/** A nameless version, one for each text: what an inline definition runs by. Answers its id. */
export async function keepInlineDefinition(
  db: Database,
  { source, plan }: CheckedDefinition,
): Promise<string> {
  const { rows } = await db.pool.query<{ id: string }>(
    `insert into skipjack.definitions (id, checksum, source, plan, created_at)
     values ($1, $2, $3, $4::jsonb, clock_timestamp())
     on conflict (checksum) where name is null do nothing
     returning id`,
    [newId(), checksumOf(source), source, JSON.stringify(plan)],
  );
  // Nothing came back: another made it in between, and has committed, for the insert waited for it.
  const id = rows[0]?.id ?? (await findInlineDefinition(db, source));
  if (id === null) throw new Error('an inline definition vanished while it was being made');
  return id;
}

function checksumOf(source: string): string {
  return createHash('sha256').update(source).digest('hex');
}
