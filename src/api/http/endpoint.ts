/**
 * An endpoint: declared once, as zod schemas, from which comes all else: the checking of what is asked, the
 * types of what its function gets and answers, and its part of /openapi.json.
 *
 * Hono's own validators are not used: they answer malformed JSON and missing content types as plain text, read
 * bodies without a bound that a chunked one would keep to, and take the last of two equal query parameters.
 */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { z } from 'zod';
import { type ErrorCode, type Problem, SkipjackError } from '../../core/errors.ts';
import { findJsonProblem } from '../../core/json.ts';
import { toProblems } from '../../core/task-input.ts';
import { checkPath, parseQuery, splitUrl } from './address.ts';
import { readJsonBody } from './body.ts';
import { describeEndpoint } from './describe-endpoint.ts';
import { invalidRequest } from './problem.ts';

export interface Endpoint {
  method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** `/v1/tasks/{id}` */
  path: string;
  id: string;
  tag: 'tasks' | 'workers' | 'dead letters' | 'operations';
  summary: string;
  description?: string;
  params?: z.ZodObject;
  query?: z.ZodObject;
  body?: z.ZodType;
  bodyExample?: unknown;
  /** Checks the body in place of `body`, which then only documents it. */
  parseBody?: (value: unknown) => unknown;
  answers: Record<number, { description: string; schema?: z.ZodType; headers?: Record<string, string> }>;
  /** Refusals of its own, beside those that every endpoint knows. */
  refusals?: ErrorCode[];
  /** Needs no API key. */
  isOpen?: boolean;
}

type Parsed<Schema> = Schema extends z.ZodType ? z.output<Schema> : undefined;

/** What was asked, checked. */
export interface Call<Declared extends Endpoint> {
  c: Context;
  params: Parsed<Declared['params']>;
  query: Parsed<Declared['query']>;
  body: Declared['parseBody'] extends (value: unknown) => infer Body ? Body : Parsed<Declared['body']>;
}

/** One of the declared answers. */
export type Answer<Declared extends Endpoint> = {
  [Status in keyof Declared['answers'] & number]: {
    status: Status;
    headers?: Record<string, string>;
  } & (Declared['answers'][Status] extends { schema: infer Schema extends z.ZodType }
    ? { body: z.input<Schema> }
    : { body?: undefined });
}[keyof Declared['answers'] & number];

export interface Endpoints {
  declare<const Declared extends Endpoint>(
    declared: Declared,
  ): { serve(handle: (call: Call<Declared>) => Promise<Answer<Declared>>): void };
}

/** Parameters of later versions: refused by name rather than unknown. */
const laterParameters = ['definition', 'process_id'];

export function createEndpoints(
  app: OpenAPIHono,
  { bodyBytesMax, onDeclare }: { bodyBytesMax: number; onDeclare: (declared: Endpoint) => void },
): Endpoints {
  return {
    declare: (declared) => ({
      serve(handle) {
        onDeclare(declared);
        describeEndpoint(app, declared);
        app.on([declared.method], [declared.path.replaceAll(/\{(\w+)\}/g, ':$1')], async (c) => {
          const { path, query } = splitUrl(c.req.url);
          checkPath(path);
          const params = declared.params && check(declared.params, c.req.param(), { isParameter: true });
          const checkedQuery = checkQuery(declared, parseQuery(query));
          const body = declared.method === 'get' ? undefined : await readBody(c, declared, bodyBytesMax);
          const answer: AnyAnswer = await handle({ c, params, query: checkedQuery, body } as never);
          if (answer.body === undefined) return c.body(null, answer.status as 204, answer.headers);
          return c.json(answer.body as object, answer.status as ContentfulStatusCode, answer.headers);
        });
      },
    }),
  };
}

interface AnyAnswer {
  status: number;
  body?: unknown;
  headers?: Record<string, string>;
}

function checkQuery({ query: schema, refusals }: Endpoint, query: Record<string, string>): unknown {
  const known = Object.keys(schema?.shape ?? {});
  const unknown = Object.keys(query).filter((name) => !known.includes(name));
  const later = unknown.find((name) => laterParameters.includes(name));
  if (later && refusals?.includes('not_supported_yet')) {
    throw new SkipjackError(
      'not_supported_yet',
      `"${later}" belongs to definitions and processes, which this version does not know yet.`,
      { problems: [{ pointer: later, message: 'is not supported yet' }] },
    );
  }
  if (unknown.length > 0) {
    const message =
      known.length > 0
        ? `unknown parameter; known are ${known.join(', ')}`
        : 'unknown parameter; there are none here';
    throw invalidRequest(
      unknown.map((pointer): Problem => ({ pointer, code: 'unknown_parameter', message })),
    );
  }
  return schema && check(schema, query, { isParameter: true });
}

async function readBody(c: Context, declared: Endpoint, bytesMax: number): Promise<unknown> {
  const value = await readJsonBody(c, { bytesMax });
  if (declared.parseBody) return declared.parseBody(required(value));
  if (declared.body) return parseWhole(declared.body, required(value));
  if (value !== undefined) parseWhole(z.strictObject({}), value);
  return undefined;
}

function required(value: unknown): unknown {
  if (value === undefined)
    throw new SkipjackError('invalid_json', 'There is no body; a JSON object is expected.');
  return value;
}

/** A body that is accepted or refused as a whole. */
export function parseWhole<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  pointer = '',
): z.output<Schema> {
  const problem = findJsonProblem(value);
  if (problem) throw invalidRequest([{ pointer: pointer + problem.pointer, message: problem.message }]);
  return check(schema, value, { pointer });
}

function check<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  { pointer = '', isParameter = false }: { pointer?: string; isParameter?: boolean } = {},
): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = toProblems(parsed.error, pointer);
  // A parameter has a name, not a place in a document.
  throw invalidRequest(
    isParameter
      ? problems.map((problem) => ({ ...problem, pointer: problem.pointer?.replace(/^\//, '') ?? '' }))
      : problems,
  );
}
