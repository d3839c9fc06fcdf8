/**
 * Names by which a definition would start others: each must be published, in the version that it names. One that is
 * inactive is: it may be active again by the time it is started.
 */
import type { Database } from '../database/connection.ts';
import { type DefinitionProblem, quote } from '../definition/problem.ts';
import type { PlacedReference } from '../definition/referred.ts';
import { Suggester } from '../definition/suggest.ts';
import { listDefinitionNames } from './read-definitions.ts';

/** As many as a definition shows of its other problems. */
const problemsMax = 100;

/** `publishedAs`: the name under which it is about to be published, as a version more than there is. */
export async function findUnknownDefinitions(
  db: Database,
  references: PlacedReference[],
  publishedAs: string | null,
): Promise<DefinitionProblem[]> {
  if (references.length === 0) return [];
  const newest = await readNewest(
    db,
    references.map(({ definition }) => definition),
  );
  if (publishedAs !== null) newest.set(publishedAs, (newest.get(publishedAs) ?? 0) + 1);
  const wrong = references.filter(({ definition, version = 1 }) => version > (newest.get(definition) ?? 0));
  if (wrong.length === 0) return [];
  const names = [...(await listDefinitionNames(db)), ...(publishedAs === null ? [] : [publishedAs])];
  const suggester = new Suggester();
  const problems = wrong.slice(0, problemsMax).map(({ definition, version, ...place }): DefinitionProblem => {
    const known = newest.get(definition);
    if (known !== undefined) {
      const message = `the definition ${quote(definition)} has no version ${version}; its newest is ${known}`;
      return { ...place, code: 'unknown_definition', message };
    }
    const suggestion = suggester.nearest(definition, names);
    const message = `there is no definition ${quote(definition)}: publish it first`;
    return {
      ...place,
      code: 'unknown_definition',
      message,
      ...(suggestion === undefined ? {} : { suggestion }),
    };
  });
  const left = wrong.length - problems.length;
  const last = problems.at(-1);
  if (left === 0 || last === undefined) return problems;
  const { line, column } = last;
  return [...problems, { pointer: '', line, column, code: 'more_problems', message: `and ${left} more` }];
}

/** The newest version of each name that is published. They count from 1, without gaps. */
async function readNewest(db: Database, names: string[]): Promise<Map<string, number>> {
  const { rows } = await db.pool.query<{ name: string; version: number }>(
    `select wanted.name, newest.version
     from (select distinct unnest($1::text[]) as name) as wanted
     cross join lateral (
       select version from skipjack.definitions where name = wanted.name order by version desc limit 1
     ) as newest`,
    [names],
  );
  return new Map(rows.map(({ name, version }) => [name, version]));
}
