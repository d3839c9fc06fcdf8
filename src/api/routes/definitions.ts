/** Definitions: publish them version by version, look at them, or only have one checked. */
import { z } from 'zod';
import { SkipjackError } from '../../core/errors.ts';
import { checkDefinition } from '../../engine/check-definition.ts';
import { noSuchDefinition } from '../../engine/no-such-definition.ts';
import {
  type DefinitionView,
  listDefinitions,
  listVersions,
  readDefinition,
} from '../../engine/read-definitions.ts';
import { encodeCursor, nameCursorSchema, numberCursorSchema } from '../cursor.ts';
import { defined } from '../defined.ts';
import { mountedAt } from '../http/mount.ts';
import type { ApiParts } from '../parts.ts';
import {
  definitionBodySchema,
  definitionChangeSchema,
  definitionDiffSchema,
  definitionExample,
  definitionNameSchema,
  definitionSchema,
  definitionSummarySchema,
  definitionYamlExample,
  publishedSchema,
  validationSchema,
} from '../schemas/definition.ts';
import { limitDefault, limitParameter } from '../schemas/parameters.ts';

const nameParams = z.object({ name: definitionNameSchema });

const versionParameter = z
  .string()
  .regex(/^[1-9]\d{0,8}$/, 'is not the number of a version')
  .transform(Number)
  .meta({ example: '2' });

const versionParams = nameParams.extend({ version: versionParameter });

const body = {
  body: definitionBodySchema,
  bodyExample: definitionExample,
  yamlExample: definitionYamlExample,
} as const;

export function addDefinitionRoutes({ endpoints, engine }: ApiParts): void {
  const { db } = engine;

  async function read(name: string, version?: number): Promise<DefinitionView> {
    const found = await readDefinition(db, name, version);
    if (!found) throw await noSuchDefinition(db, name, version);
    return found;
  }

  endpoints
    .declare({
      method: 'put',
      path: '/v1/definitions/{name}',
      id: 'publishDefinition',
      tag: 'definitions',
      summary: 'Publish a definition, as YAML or JSON',
      description:
        'Makes a new version, which is never changed; the text of the newest version again is that version. A name in the text must be the one in the path. The definitions that it names, for sub-processes and on failure, must be published; it may name itself. Every problem is shown, with its place in the text as it was sent. A definition that is inactive stays so: look at `active` in the answer.',
      params: nameParams,
      ...body,
      parseText: ({ text }) => text,
      answers: {
        200: { description: 'The newest version had this very text', schema: publishedSchema },
        201: {
          description: 'A new version',
          schema: publishedSchema,
          headers: { location: 'Where the version is' },
        },
      },
      refusals: ['invalid_definition'],
    })
    .serve(async ({ c, params, body: source }) => {
      const { name, version, created } = await engine.publish({ source }, { name: params.name });
      const { source: _source, plan: _plan, ...summary } = await read(name, version);
      return {
        status: created ? 201 : 200,
        headers: {
          location: `${mountedAt(c)}/v1/definitions/${encodeURIComponent(name)}/versions/${version}`,
        },
        body: { ...summary, created },
      };
    });

  endpoints
    .declare({
      method: 'post',
      path: '/v1/definitions/validate',
      id: 'validateDefinition',
      tag: 'definitions',
      summary: 'Check a definition, as YAML or JSON, and publish nothing',
      description:
        'As if it were published under the name in it: the definitions that it names must be published. A text that is no YAML and no JSON is a problem of the definition too, with its place.',
      ...body,
      parseText: ({ text }) => text,
      answers: { 200: { description: 'Its plan, or its problems', schema: validationSchema } },
    })
    .serve(async ({ body: source }) => {
      try {
        const { plan } = await checkDefinition(db, { source }, { as: null });
        return { status: 200, body: { valid: true, name: plan.name, tasks: plan.tasks.length, plan } };
      } catch (error) {
        if (!(error instanceof SkipjackError) || error.code !== 'invalid_definition') throw error;
        return { status: 200, body: { valid: false, problems: error.problems } };
      }
    });

  endpoints
    .declare({
      method: 'get',
      path: '/v1/definitions',
      id: 'listDefinitions',
      tag: 'definitions',
      summary: 'List the newest version of each definition, by name',
      query: z.strictObject({ limit: limitParameter, cursor: nameCursorSchema.optional() }),
      answers: {
        200: {
          description: 'A page; `next_cursor` is null on the last one',
          schema: z
            .object({ definitions: z.array(definitionSummarySchema), next_cursor: z.string().nullable() })
            .meta({ id: 'DefinitionList' }),
        },
      },
    })
    .serve(async ({ query: { limit = limitDefault, cursor } }) => {
      const found = await listDefinitions(db, { limit: limit + 1, ...defined({ after: cursor }) });
      const page = found.slice(0, limit);
      const last = found.length > limit ? page.at(-1) : undefined;
      return {
        status: 200,
        body: { definitions: page, next_cursor: last ? encodeCursor([last.name]) : null },
      };
    });

  endpoints
    .declare({
      method: 'get',
      path: '/v1/definitions/{name}',
      id: 'readDefinition',
      tag: 'definitions',
      summary: 'Look at the newest version of a definition',
      params: nameParams,
      answers: { 200: { description: 'With its text and its plan', schema: definitionSchema } },
      refusals: ['not_found'],
    })
    .serve(async ({ params }) => ({ status: 200, body: await read(params.name) }));

  endpoints
    .declare({
      method: 'get',
      path: '/v1/definitions/{name}/versions',
      id: 'listDefinitionVersions',
      tag: 'definitions',
      summary: 'List the versions of a definition, newest first',
      params: nameParams,
      query: z.strictObject({ limit: limitParameter, cursor: numberCursorSchema.optional() }),
      answers: {
        200: {
          description: 'A page; `next_cursor` is null on the last one',
          schema: z
            .object({ versions: z.array(definitionSummarySchema), next_cursor: z.string().nullable() })
            .meta({ id: 'DefinitionVersionList' }),
        },
      },
      refusals: ['not_found'],
    })
    .serve(async ({ params: { name }, query: { limit = limitDefault, cursor } }) => {
      const found = await listVersions(db, name, { limit: limit + 1, ...defined({ before: cursor }) });
      if (found.length === 0 && cursor === undefined) await read(name);
      const page = found.slice(0, limit);
      const last = found.length > limit ? page.at(-1) : undefined;
      return {
        status: 200,
        body: { versions: page, next_cursor: last ? encodeCursor([String(last.version)]) : null },
      };
    });

  endpoints
    .declare({
      method: 'get',
      path: '/v1/definitions/{name}/diff',
      id: 'diffDefinition',
      tag: 'definitions',
      summary: 'Compare two versions of a definition, by task and key',
      description:
        'The two newest unless they are named. What is compared is what the texts mean: comments, layout and the order of tasks do not count.',
      params: nameParams,
      query: z.strictObject({
        from: versionParameter.optional().meta({ description: 'The one before `to` when left out' }),
        to: versionParameter.optional().meta({ description: 'The newest when left out' }),
      }),
      answers: { 200: { description: 'What is different', schema: definitionDiffSchema } },
      refusals: ['not_found'],
    })
    .serve(async ({ params, query }) => ({
      status: 200,
      body: await engine.diffDefinitions(params.name, query),
    }));

  endpoints
    .declare({
      method: 'patch',
      path: '/v1/definitions/{name}',
      id: 'changeDefinition',
      tag: 'definitions',
      summary: 'Make a definition inactive, or active again',
      description:
        'Nothing more is started by the name of an inactive definition, whatever the version: `definition_inactive`. What runs goes on. The same again changes nothing.',
      params: nameParams,
      body: definitionChangeSchema,
      bodyExample: { active: false, by: 'Ada' },
      answers: { 200: { description: 'Its newest version', schema: definitionSummarySchema } },
      refusals: ['not_found'],
    })
    .serve(async ({ params, body: { active, by } }) => ({
      status: 200,
      body: await engine.setDefinitionActive(params.name, active, { by }),
    }));

  endpoints
    .declare({
      method: 'get',
      path: '/v1/definitions/{name}/versions/{version}',
      id: 'readDefinitionVersion',
      tag: 'definitions',
      summary: 'Look at one version of a definition',
      params: versionParams,
      answers: { 200: { description: 'With its text and its plan', schema: definitionSchema } },
      refusals: ['not_found'],
    })
    .serve(async ({ params }) => ({ status: 200, body: await read(params.name, params.version) }));
}
