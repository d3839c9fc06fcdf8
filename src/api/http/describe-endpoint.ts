/** An endpoint's part of /openapi.json, with every problem that it can answer. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { type ErrorCode, errorCatalogue } from '../../core/errors.ts';
import { problemSchema } from '../schemas/problem.ts';
import { contentTypes } from './body.ts';
import type { Endpoint } from './endpoint.ts';
import { eventStreamType } from './event-stream.ts';
import { problemType } from './problem.ts';

const refusalsOfAll: ErrorCode[] = [
  'invalid_request',
  'unauthorized',
  'host_not_allowed',
  'overloaded',
  'database_unreachable',
  'internal',
];
const refusalsOfOpen: ErrorCode[] = ['invalid_request', 'host_not_allowed', 'internal'];

/** Those without a body of their own look at what is sent all the same. */
const refusalsOfUnsafe: ErrorCode[] = [
  'invalid_json',
  'origin_not_allowed',
  'body_too_large',
  'unsupported_media_type',
];

export function describeEndpoint(app: OpenAPIHono, declared: Endpoint): void {
  const refusals = new Set([
    ...(declared.isOpen ? refusalsOfOpen : refusalsOfAll),
    ...(declared.method === 'get' ? [] : refusalsOfUnsafe),
    ...(declared.refusals ?? []),
  ]);
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of refusals) {
    const { status } = errorCatalogue[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  app.openAPIRegistry.registerPath({
    method: declared.method,
    path: declared.path,
    operationId: declared.id,
    tags: [declared.tag],
    summary: declared.summary,
    ...(declared.description === undefined ? {} : { description: declared.description }),
    ...(declared.isOpen ? { security: [] } : {}),
    request: {
      ...(declared.params ? { params: declared.params } : {}),
      ...(declared.query ? { query: declared.query } : {}),
      ...(declared.headers ? { headers: declared.headers } : {}),
      ...(declared.body ? { body: documentBody(declared, declared.body) } : {}),
    },
    responses: {
      ...Object.fromEntries(
        Object.entries(declared.answers).map(([status, answer]) => [
          status,
          documentAnswer(answer, declared.events),
        ]),
      ),
      ...Object.fromEntries(
        [...byStatus].map(([status, codes]) => [
          status,
          {
            description: codes.map((code) => `\`${code}\``).join(', '),
            content: { [problemType]: { schema: problemSchema } },
          },
        ]),
      ),
    },
  });
}

function documentBody({ isBodyOptional, bodyExample, parseText, yamlExample }: Endpoint, schema: z.ZodType) {
  const withExample = (example: unknown) => (example === undefined ? {} : { example });
  const yaml = { schema: z.string(), ...withExample(yamlExample) };
  return {
    required: !isBodyOptional,
    content: {
      'application/json': { schema, ...withExample(bodyExample) },
      ...(parseText ? Object.fromEntries(contentTypes.yaml.map((type) => [type, yaml])) : {}),
    },
  };
}

function documentAnswer(
  { description, schema, text, headers }: Endpoint['answers'][number],
  events: string | undefined,
) {
  const type = 'string' as const;
  const described = Object.entries(headers ?? {}).map(([name, about]) => [
    name,
    { description: about, schema: { type } },
  ]);
  return {
    description,
    ...(schema ? { content: { 'application/json': { schema }, ...documentEvents(events) } } : {}),
    // Without its parameters: a description names what is sent, not in which version.
    ...(text ? { content: { [text.split(';', 1)[0] ?? text]: { schema: z.string() } } } : {}),
    ...(headers ? { headers: Object.fromEntries(described) } : {}),
  };
}

function documentEvents(description: string | undefined) {
  return description === undefined ? {} : { [eventStreamType]: { schema: z.string().meta({ description }) } };
}
