/** Two versions of a definition, compared. */
import { SkipjackError } from '../core/errors.ts';
import type { Database } from '../database/connection.ts';
import { diffPlans, type PlanDiff } from './diff-plans.ts';
import { noSuchDefinition } from './no-such-definition.ts';
import { type DefinitionView, readDefinition } from './read-definitions.ts';

export interface DefinitionDiff extends PlanDiff {
  name: string;
  from: number;
  to: number;
}

/** `to` is the newest and `from` the one before it, unless they are named. */
export async function diffDefinition(
  db: Database,
  name: string,
  { from, to }: { from?: number | undefined; to?: number | undefined },
): Promise<DefinitionDiff> {
  const later = await read(db, name, to);
  if (from === undefined && later.version === 1) {
    throw new SkipjackError(
      'not_found',
      to === undefined
        ? `"${name}" has one version only: there is nothing to compare it with.`
        : `There is no version before the first of "${name}". Name the other one with "from".`,
    );
  }
  const earlier = await read(db, name, from ?? later.version - 1);
  return { name, from: earlier.version, to: later.version, ...diffPlans(earlier.plan, later.plan) };
}

async function read(db: Database, name: string, version: number | undefined): Promise<DefinitionView> {
  const found = await readDefinition(db, name, version);
  if (!found) throw await noSuchDefinition(db, name, version);
  return found;
}
