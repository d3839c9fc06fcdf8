/** There is no such definition: what may have been meant. */
import { SkipjackError } from '../core/errors.ts';
import type { Database } from '../database/connection.ts';
import { Suggester } from '../definition/suggest.ts';
import { listDefinitionNames, listVersions } from './read-definitions.ts';

export async function noSuchDefinition(
  db: Database,
  name: string,
  version: number | null = null,
): Promise<SkipjackError> {
  const [newest] = version === null ? [] : await listVersions(db, name, { limit: 1 });
  if (newest)
    return new SkipjackError(
      'not_found',
      `The definition "${name}" has no version ${version}; its newest is ${newest.version}.`,
    );
  const names = await listDefinitionNames(db);
  const meant = new Suggester().nearest(name, names);
  const advice = /\.(ya?ml|json)$/i.test(name)
    ? `A file is started by { file: ${JSON.stringify(name)} }.`
    : meant === undefined
      ? describePublished(names)
      : `Did you mean "${meant}"?`;
  return new SkipjackError('not_found', `There is no definition "${name}". ${advice}`);
}

function describePublished(names: string[]): string {
  if (names.length === 0) return 'None is published yet.';
  const shown = names.slice(0, 10).map((name) => `"${name}"`);
  return `Published are ${shown.join(', ')}${names.length > shown.length ? ' and more' : ''}.`;
}
