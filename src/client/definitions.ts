import type { Json } from '../core/json.ts';
import { type CallOptions, type Calls, part } from './calls.ts';
import type { Call } from './request.ts';
import type { Definition, DefinitionDiff, DefinitionSummary, Page, Published, Validation } from './views.ts';

/** A definition in hand: an object, or its text, YAML or JSON. */
export type DefinitionInput = string | { [key: string]: Json };

export interface DefinitionClient {
  /**
   * Publishes a definition under `name`: a new version, unless it is the text of the newest one.
   *
   * @throws SkipjackError `invalid_definition` with every problem and its place.
   */
  publishDefinition(name: string, definition: DefinitionInput, options?: CallOptions): Promise<Published>;
  /** Publishes nothing: `valid` with the plan, or every problem with its place. */
  validateDefinition(definition: DefinitionInput, options?: CallOptions): Promise<Validation>;
  /** The newest version of each, by name, 50 a page; `next_cursor` is null on the last page. */
  listDefinitions(
    page?: Page & CallOptions,
  ): Promise<{ definitions: DefinitionSummary[]; next_cursor: string | null }>;
  /** The newest version unless one is named. */
  getDefinition(name: string, options?: CallOptions & { version?: number }): Promise<Definition>;
  /** Newest first, 50 a page; `next_cursor` is null on the last page. */
  listDefinitionVersions(
    name: string,
    page?: Page & CallOptions,
  ): Promise<{ versions: DefinitionSummary[]; next_cursor: string | null }>;
  /** What is different between two versions, by task and key; the two newest unless they are named. */
  diffDefinition(
    name: string,
    versions?: { from?: number | undefined; to?: number | undefined } & CallOptions,
  ): Promise<DefinitionDiff>;
  /** With `active` false nothing more is started by this name; what runs goes on. Answers its newest version. */
  setDefinitionActive(
    name: string,
    active: boolean,
    options?: CallOptions & { by?: string | undefined },
  ): Promise<DefinitionSummary>;
}

export function createDefinitionClient(calls: Calls): DefinitionClient {
  return {
    async publishDefinition(name, definition, { signal } = {}) {
      const call = { method: 'PUT', ...bodyOf(definition), signal } as const;
      return (await calls.request<Published>(definitionPath(name), call)).body;
    },
    async validateDefinition(definition, { signal } = {}) {
      const call = { method: 'POST', ...bodyOf(definition), signal } as const;
      return (await calls.request<Validation>('/v1/definitions/validate', call)).body;
    },
    listDefinitions: ({ signal, ...page } = {}) => calls.get('/v1/definitions', page, { signal }),
    getDefinition: (name, { version, signal } = {}) =>
      calls.get(
        `${definitionPath(name)}${version === undefined ? '' : `/versions/${version}`}`,
        {},
        { signal },
      ),
    listDefinitionVersions: (name, { signal, ...page } = {}) =>
      calls.get(`${definitionPath(name)}/versions`, page, { signal }),
    diffDefinition: (name, { signal, ...versions } = {}) =>
      calls.get(`${definitionPath(name)}/diff`, versions, { signal }),
    async setDefinitionActive(name, active, { by, signal } = {}) {
      const call = { method: 'PATCH', body: { active, by }, signal } as const;
      return (await calls.request<DefinitionSummary>(definitionPath(name), call)).body;
    },
  };
}

/** On lines of its own each: problems have places in it, and it is what is stored. */
function bodyOf(definition: DefinitionInput): Pick<Call, 'text'> {
  return typeof definition === 'string'
    ? { text: { type: 'application/yaml', content: definition } }
    : { text: { type: 'application/json', content: JSON.stringify(definition, null, 2) } };
}

function definitionPath(name: string): string {
  return `/v1/definitions/${part(name)}`;
}
