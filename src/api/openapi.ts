/** /openapi.json: made from the endpoints as they are declared. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { mountedAt } from './http/mount.ts';
import type { ApiParts } from './parts.ts';

export function addOpenApi(app: OpenAPIHono, { endpoints, version }: ApiParts): void {
  let document: ReturnType<typeof describe> | null = null;
  app.openAPIRegistry.registerComponent('securitySchemes', 'apiKey', {
    type: 'http',
    scheme: 'bearer',
    description:
      'One of SKIPJACK_API_KEYS. A server without keys listens on loopback alone and asks for none.',
  });
  endpoints
    .declare({
      method: 'get',
      path: '/openapi.json',
      id: 'readOpenApi',
      tag: 'operations',
      summary: 'This description',
      answers: { 200: { description: 'OpenAPI 3.1', schema: z.record(z.string(), z.unknown()) } },
    })
    .serve(async ({ c }) => {
      // All routes are there by the time somebody asks.
      document ??= describe(app, version);
      return { status: 200, body: { ...document, servers: [{ url: mountedAt(c) || '/' }] } };
    });
}

function describe(app: OpenAPIHono, version: string) {
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Skipjack',
      version,
      description:
        'Task orchestration on Postgres. Errors are problem documents (RFC 9457) with a stable `code`. Unknown query parameters and unknown keys are refused, never ignored. Durations are written `500ms`, `30s`, `10m`, `2h`; times are RFC 3339.',
    },
    security: [{ apiKey: [] }, {}],
    tags: [
      { name: 'tasks', description: 'Enqueue tasks and look at them' },
      { name: 'workers', description: 'Claim tasks, keep them, and say what became of them' },
      { name: 'definitions', description: 'Publish what processes are made of, version by version' },
      { name: 'processes', description: 'Start processes, look at them, move them' },
      { name: 'dead letters', description: 'Tasks that failed for good' },
      { name: 'operations', description: 'Queues, workers, health' },
    ],
  });
}
