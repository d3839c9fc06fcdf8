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
import type { ErrorCode, Problem } from '../../core/errors.ts';
import { findJsonProblem } from '../../core/json.ts';
import { describeIssue } from '../../core/schema-words.ts';
import { toProblems } from '../../core/task-input.ts';
import { checkPath, parseQuery, splitUrl } from './address.ts';
import { type BodyType, malformed, parseJson, readTextBody, type TextBody } from './body.ts';
import { describeEndpoint } from './describe-endpoint.ts';
import { invalidRequest } from './problem.ts';

export interface Endpoint {
  method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** `/v1/tasks/{id}` */
  path: string;
  id: string;
  tag: 'tasks' | 'workers' | 'definitions' | 'processes' | 'dead letters' | 'operations';
  summary: string;
  description?: string;
  params?: z.ZodObject;
  query?: z.ZodObject;
  /** By their names in small letters; others may be there. */
  headers?: z.ZodObject;
  body?: z.ZodType;
  bodyExample?: unknown;
  /** No body is as good as an empty object. */
  isBodyOptional?: boolean;
  /** Checks the body in place of `body`, which then only documents it. */
  parseBody?: (value: unknown) => unknown;
  /** Reads the body as text, which may be YAML too; `body` then only documents what it is as JSON. */
  parseText?: (body: TextBody) => unknown;
  yamlExample?: string;
  /** Also answers `Accept: text/event-stream`; this says what the events are. */
  events?: string;
  /** JSON that fits `schema`, or `text` of that content type; neither: no body. */
  answers: Record<
    number,
    { description: string; schema?: z.ZodType; text?: string; headers?: Record<string, string> }
  >;
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
  headers: Parsed<Declared['headers']>;
  body: Declared['parseText'] extends (body: TextBody) => infer Body
    ? Body
    : Declared['parseBody'] extends (value: unknown) => infer Body
      ? Body
      : Parsed<Declared['body']>;
}

/** One of the declared answers, or events in their place. */
export type Answer<Declared extends Endpoint> =
  | DeclaredAnswer<Declared>
  | (Declared['events'] extends string ? { events: Response } : never);

type DeclaredAnswer<Declared extends Endpoint> = {
  [Status in keyof Declared['answers'] & number]: {
    status: Status;
    headers?: Record<string, string>;
  } & (Declared['answers'][Status] extends { schema: infer Schema extends z.ZodType }
    ? { body: z.input<Schema> }
    : Declared['answers'][Status] extends { text: string }
      ? { body: string }
      : { body?: undefined });
}[keyof Declared['answers'] & number];

export interface Endpoints {
  declare<const Declared extends Endpoint>(
    declared: Declared,
  ): { serve(handle: (call: Call<Declared>) => Promise<Answer<Declared>>): void };
}

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
          const headers = declared.headers && check(declared.headers, c.req.header(), { isParameter: true });
          const body = declared.method === 'get' ? undefined : await readBody(c, declared, bodyBytesMax);
          const answer = (await handle({
            c,
            params,
            query: checkedQuery,
            headers,
            body,
          } as never)) as AnyAnswer;
          if (answer.events) return answer.events;
          if (answer.body === undefined) return c.body(null, answer.status as 204, answer.headers);
          const text = declared.answers[answer.status]?.text;
          if (text !== undefined) {
            c.header('content-type', text);
            return c.body(answer.body as string, answer.status as ContentfulStatusCode, answer.headers);
          }
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
  events?: Response;
}

function checkQuery({ query: schema }: Endpoint, query: Record<string, string>): unknown {
  const known = Object.keys(schema?.shape ?? {});
  const unknown = Object.keys(query).filter((name) => !known.includes(name));
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
  const { parseText, parseBody, body: schema, isBodyOptional } = declared;
  const types: BodyType[] = parseText ? ['json', 'yaml'] : ['json'];
  const sent = await readTextBody(c, { bytesMax, types });
  if (sent === undefined && (parseText || parseBody || (schema && !isBodyOptional))) {
    const expected = parseText ? 'a definition in YAML or JSON' : 'a JSON object';
    throw malformed(`There is no body; ${expected} is expected.`, types);
  }
  if (sent && parseText) return parseText(sent);
  const value = sent ? parseJson(sent.text) : {};
  if (parseBody) return parseBody(value);
  if (schema) return parseWhole(schema, value);
  parseWhole(z.strictObject({}), value);
  return undefined;
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
  const parsed = schema.safeParse(value, { error: describeIssue });
  if (parsed.success) return parsed.data;
  const problems = toProblems(parsed.error, pointer);
  // A parameter has a name, not a place in a document.
  throw invalidRequest(
    isParameter
      ? problems.map((problem) => ({ ...problem, pointer: problem.pointer?.replace(/^\//, '') ?? '' }))
      : problems,
  );
}
