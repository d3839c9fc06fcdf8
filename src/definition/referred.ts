/** The definitions that a plan starts by their names: whether they are there is for whoever has a database to say. */
import type { Plan } from '../core/plan.ts';
import { type Path, toPointer } from './problem.ts';
import type { DefinitionDocument } from './read-document.ts';
import { SourceText } from './source-text.ts';

export interface DefinitionReference {
  definition: string;
  version?: number;
  /** Where the name stands. */
  path: Path;
}

/** The same with its place in the source, as problems have it. */
export interface PlacedReference extends Omit<DefinitionReference, 'path'> {
  pointer: string;
  line: number;
  column: number;
  excerpt: string;
}

/** In the order of the tasks, `on_failure` last. */
export function referredDefinitions({ tasks, on_failure }: Plan): DefinitionReference[] {
  const found: DefinitionReference[] = [];
  const add = ({ definition, version }: NonNullable<Plan['on_failure']>, path: Path) =>
    found.push({
      definition,
      ...(version === undefined ? {} : { version }),
      path: [...path, 'definition'],
    });
  for (const [index, { process }] of tasks.entries()) {
    if (process) add(process, ['tasks', index, 'process']);
  }
  if (on_failure) add(on_failure, ['on_failure']);
  return found;
}

export function placeReferences(
  plan: Plan,
  { has, offsetOf }: DefinitionDocument,
  text: string,
): PlacedReference[] {
  const referred = referredDefinitions(plan);
  if (referred.length === 0) return [];
  const source = new SourceText(text);
  return referred.map(({ path, ...reference }) => {
    // The short form has the name in place of the map.
    const own = has(path) ? path : path.slice(0, -1);
    // When it is asked for, which is where something is wrong: on a line of two megabytes it takes a millisecond.
    const place = () => source.place(offsetOf(own));
    return {
      ...reference,
      pointer: toPointer(own),
      get line() {
        return place().line;
      },
      get column() {
        return place().column;
      },
      get excerpt() {
        return place().excerpt;
      },
    };
  });
}
