/** Whether this server can do its work, and whether it lives at all. */
import { z } from 'zod';
import { withinPatience } from '../../core/within-patience.ts';
import { readSchemaStatus, schemaError } from '../../database/migrate.ts';
import type { ApiParts } from '../parts.ts';
import { createSharedAnswer } from '../shared-answer.ts';

const healthSchema = z
  .object({
    status: z.literal('ok'),
    version: z.string(),
    schema: z.object({ status: z.enum(['current', 'newer_but_compatible']), version: z.int() }),
    database: z.object({
      latency_ms: z.number(),
      listening: z.boolean().meta({ description: 'False: wake-ups come by polling alone' }),
    }),
  })
  .meta({ id: 'Health' });

export function addHealthRoutes({ endpoints, queue, version }: ApiParts): void {
  const { db } = queue;

  // Shared while it is under way: probes of a database that hangs must not take all its connections.
  const probe = createSharedAnswer(
    async () => {
      const began = performance.now();
      const schema = await readSchemaStatus(db);
      return { schema, latencyMs: performance.now() - began };
    },
    { freshMs: 0 },
  );

  endpoints
    .declare({
      method: 'get',
      path: '/health',
      id: 'readHealth',
      tag: 'operations',
      summary: 'Whether the database answers and its schema fits',
      isOpen: true,
      answers: { 200: { description: 'Both', schema: healthSchema } },
      refusals: ['database_unreachable', 'schema_outdated'],
    })
    .serve(async () => {
      const { schema, latencyMs } = await withinPatience(probe());
      if (schema.kind !== 'current' && schema.kind !== 'newer_but_compatible') throw schemaError(schema);
      return {
        status: 200,
        body: {
          status: 'ok',
          version,
          schema: { status: schema.kind, version: schema.version },
          database: { latency_ms: Math.round(latencyMs * 100) / 100, listening: db.hints.listening() },
        },
      };
    });

  endpoints
    .declare({
      method: 'get',
      path: '/health/live',
      id: 'readLiveness',
      tag: 'operations',
      summary: 'Whether the server answers at all; asks no database',
      isOpen: true,
      answers: {
        200: {
          description: 'It does',
          schema: z.object({ status: z.literal('ok'), version: z.string() }).meta({ id: 'Liveness' }),
        },
      },
    })
    .serve(async () => ({ status: 200, body: { status: 'ok', version } }));
}
