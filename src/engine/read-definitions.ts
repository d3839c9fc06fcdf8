/** Reading what was published. */
import type { Plan } from '../core/plan.ts';
import type { Database } from '../database/connection.ts';

export interface DefinitionSummary {
  id: string;
  name: string;
  version: number;
  tasks: number;
  checksum: string;
  created_at: string;
  /** False: nothing more is started by this name, whatever the version. */
  active: boolean;
  inactive_since: string | null;
  /** Who said so, if they gave a name. */
  inactive_by: string | null;
}

export interface DefinitionView extends DefinitionSummary {
  /** As it was published. */
  source: string;
  plan: Plan;
}

interface Row extends Omit<DefinitionView, 'created_at' | 'active' | 'inactive_since'> {
  created_at: Date;
  inactive_since: Date | null;
}

const summaryColumns = `id, name, version, jsonb_array_length(plan -> 'tasks') as tasks, checksum, created_at,
  (select since from skipjack.inactive_definitions as inactive where inactive.name = definitions.name) as inactive_since,
  (select by from skipjack.inactive_definitions as inactive where inactive.name = definitions.name) as inactive_by`;

/** From name to name through `definitions_versions`: one with many versions costs one probe. */
const namesAfter = `recursive names as (
  (select name from skipjack.definitions where name > $1 order by name limit 1)
  union all
  select next.name
  from names
  cross join lateral (select name from skipjack.definitions where name > names.name order by name limit 1) as next
)`;

/** The newest version of each name, by name; `after` is the last name of the page before. */
export async function listDefinitions(
  db: Database,
  page: { limit: number; after?: string },
): Promise<DefinitionSummary[]> {
  // The newest is probed for: sorted by name and version down, an index in which both go up is read to its end.
  const { rows } = await db.pool.query<Row>(
    `with ${namesAfter}
     select newest.*
     from (select name from names limit ${Number(page.limit)}) as wanted
     cross join lateral (
       select ${summaryColumns} from skipjack.definitions where name = wanted.name order by version desc limit 1
     ) as newest
     order by newest.name`,
    [page.after ?? ''],
  );
  return rows.map(toSummary);
}

/** Every version of a name, newest first; `before` is the last version of the page before. */
export async function listVersions(
  db: Database,
  name: string,
  page: { limit: number; before?: number },
): Promise<DefinitionSummary[]> {
  const { rows } = await db.pool.query<Row>(
    `select ${summaryColumns} from skipjack.definitions
     where name = $1 and ($2::integer is null or version < $2) order by version desc limit ${Number(page.limit)}`,
    [name, page.before ?? null],
  );
  return rows.map(toSummary);
}

/** The newest version unless one is named. Null: there is none. */
export async function readDefinition(
  db: Database,
  name: string,
  version?: number,
): Promise<DefinitionView | null> {
  const { rows } = await db.pool.query<Row>(
    `select ${summaryColumns}, source, plan from skipjack.definitions
     where name = $1 and version = coalesce($2, version) order by version desc limit 1`,
    [name, version ?? null],
  );
  return rows[0] ? { ...toSummary(rows[0]), source: rows[0].source, plan: rows[0].plan } : null;
}

/** For "did you mean": the first thousand. */
export async function listDefinitionNames(db: Database): Promise<string[]> {
  const { rows } = await db.pool.query<{ name: string }>(
    `with ${namesAfter} select name from names limit 1000`,
    [''],
  );
  return rows.map(({ name }) => name);
}

function toSummary(row: Row): DefinitionSummary {
  return {
    id: row.id,
    name: row.name,
    version: row.version,
    tasks: row.tasks,
    checksum: row.checksum,
    created_at: row.created_at.toISOString(),
    active: row.inactive_since === null,
    inactive_since: row.inactive_since?.toISOString() ?? null,
    inactive_by: row.inactive_by,
  };
}
