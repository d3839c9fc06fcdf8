/** What the API is to the outside. A change here is a change for every client. */
import { describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { createApi } from '../../src/api/api.ts';
import { Engine } from '../../src/engine/engine.ts';
import type { Queue } from '../../src/queue/queue.ts';

// No request of this file reaches the queue.
const app = createApi(new Engine({ queue: { onSettled: () => () => {} } as unknown as Queue }), {
  version: '1.2.3',
});
const response = await app.request('/openapi.json');
// biome-ignore lint/suspicious/noExplicitAny: a JSON document.
const document: any = await response.json();

interface Operation {
  operationId: string;
  tags: string[];
  summary: string;
  security?: unknown[];
  parameters?: { name: string; in: string; required: boolean }[];
  requestBody?: { content: Record<string, { schema: Schema; example?: unknown }> };
  responses: Record<string, { description: string; content?: Record<string, { schema: Schema }> }>;
}
type Schema = { $ref?: string; type?: string };

const operations: [string, string, Operation][] = Object.entries<Record<string, Operation>>(
  document.paths,
).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]): [string, string, Operation] => [
    method.toUpperCase(),
    path,
    operation,
  ]),
);

const nameOf = (schema: Schema | undefined) => schema?.$ref?.split('/').at(-1) ?? schema?.type ?? '';

test('the public surface is this', () => {
  const surface = operations
    .map(([method, path, { parameters = [], requestBody, responses }]) => {
      const query = parameters
        .filter((parameter) => parameter.in === 'query')
        .map((parameter) => parameter.name);
      const body = nameOf(requestBody?.content['application/json']?.schema);
      const answers = Object.entries(responses).map(([status, { description, content }]) =>
        Number(status) < 400
          ? `${status} ${nameOf(content?.['application/json']?.schema)}`.trim()
          : description.replaceAll('`', ''),
      );
      return [
        `${method} ${path}${query.length > 0 ? ` ?${query.join(' ')}` : ''}${body ? ` (${body})` : ''}`,
        ...answers.map((answer) => `    ${answer}`),
      ].join('\n');
    })
    .sort()
    .join('\n');
  expect(surface).toMatchSnapshot();
});

describe('the description', () => {
  test('is OpenAPI 3.1 of this version, whose references all lead somewhere', () => {
    expect(document).toMatchObject({ openapi: '3.1.0', info: { title: 'Skipjack', version: '1.2.3' } });
    const references = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(
      (match) => match[1],
    );
    expect(references.length).toBeGreaterThan(50);
    for (const name of references) expect(document.components.schemas).toHaveProperty(name ?? '');
  });

  test('gives each operation a name of its own, a tag and a sentence', () => {
    const names = operations.map(([, , operation]) => operation.operationId);
    expect(new Set(names).size).toBe(names.length);
    const tags = document.tags.map((tag: { name: string }) => tag.name);
    for (const [method, path, { tags: own, summary }] of operations) {
      expect([method, path, own.every((tag) => tags.includes(tag)), summary.length > 10]).toEqual([
        method,
        path,
        true,
        true,
      ]);
    }
  });

  test('says which operations need no key', () => {
    expect(document.components.securitySchemes.apiKey).toMatchObject({ type: 'http', scheme: 'bearer' });
    const open = operations
      .filter(([, , operation]) => operation.security?.length === 0)
      .map(([, path]) => path);
    expect(open.sort()).toEqual(['/health', '/health/live']);
  });

  test('shows for each body an example that is accepted', () => {
    for (const [method, path, { requestBody }] of operations) {
      if (!requestBody) continue;
      const route = app.openAPIRegistry.definitions
        .flatMap((definition) => (definition.type === 'route' ? [definition.route] : []))
        .find((each) => each.path === path && each.method === method.toLowerCase());
      const content = route?.request?.body?.content['application/json'] as {
        schema: z.ZodType;
        example: unknown;
      };
      const parsed = content.schema.safeParse(content.example);
      expect(parsed, `${method} ${path}`).toMatchObject({ success: true });
    }
  });
});
