/** Queues, workers, and the pulse of it all. */
import { z } from 'zod';
import { queueNameSchema } from '../../core/task-input.ts';
import { countLiveProcesses } from '../../engine/read-processes.ts';
import { listQueues, readStats } from '../../queue/overview.ts';
import { setQueuePaused } from '../../queue/pause.ts';
import { listWorkers, removeWorker } from '../../queue/workers.ts';
import type { ApiParts } from '../parts.ts';
import { workerNameSchema } from '../schemas/claim.ts';
import { createSharedAnswer } from '../shared-answer.ts';

const count = z.number();
const momentOrNull = z.string().nullable().meta({ format: 'date-time' });

const queueSchema = z
  .object({
    name: z.string(),
    paused: z.boolean(),
    ready: count,
    scheduled: count,
    running: count,
    held: count.meta({ description: 'Tasks that wait only because their processes are paused' }),
    oldest_ready_at: momentOrNull,
  })
  .meta({ id: 'Queue' });

const workerShape = {
  host: z.string().min(1).max(255),
  pid: z.int32().min(0),
  queues: z.array(queueNameSchema).max(100),
  slots: z.int32().min(0),
  version: z.string().max(100),
};

const workerSchema = z
  .object({
    id: z.string(),
    ...workerShape,
    live: z.boolean(),
    running: count,
    started_at: z.string(),
    heartbeat_at: z.string(),
  })
  .meta({ id: 'Worker' });

const workerParamsSchema = z.object({ id: workerNameSchema });

const statsSchema = z
  .object({
    tasks: z.object({
      scheduled: count,
      ready: count,
      running: count,
      waiting: count.meta({
        description: 'Neither on a queue nor ended: for an engine, items, a process, a time or an event',
      }),
      completed: count,
      failed: count,
      cancelled: count,
      skipped: count,
    }),
    processes: z
      .object({ running: count, failing: count, cancelling: count })
      .meta({ description: 'Those that have not ended' }),
    oldest_ready_at: momentOrNull,
    dead_letters: z.object({
      waiting: count.meta({ description: 'Not replayed' }),
      last_hour: count,
    }),
    workers: z.object({ live: count, slots: count }),
  })
  .meta({ id: 'Stats' });

/** Counting the ended tasks reads the whole record: once for everybody who asks within these. */
const statsFreshMs = 5_000;

export function addOperationRoutes({ endpoints, queue }: ApiParts): void {
  const { db } = queue;
  const readSharedStats = createSharedAnswer(
    async () => {
      const [stats, processes] = await Promise.all([readStats(db), countLiveProcesses(db)]);
      return { ...stats, processes };
    },
    { freshMs: statsFreshMs },
  );

  endpoints
    .declare({
      method: 'get',
      path: '/v1/queues',
      id: 'listQueues',
      tag: 'operations',
      summary: 'Queues that have live tasks, are paused or are served',
      answers: {
        200: {
          description: 'The queues',
          schema: z.object({ queues: z.array(queueSchema) }).meta({ id: 'QueueList' }),
        },
      },
    })
    .serve(async () => ({ status: 200, body: { queues: await listQueues(db) } }));

  endpoints
    .declare({
      method: 'patch',
      path: '/v1/queues/{name}',
      id: 'pauseQueue',
      tag: 'operations',
      summary: 'Pause a queue, or resume it',
      description: 'The tasks of a paused queue are not handed out; what runs goes on.',
      params: z.object({ name: queueNameSchema }),
      body: z.strictObject({ paused: z.boolean() }).meta({ id: 'QueueChange' }),
      bodyExample: { paused: true },
      answers: {
        200: {
          description: 'As it is now',
          schema: z.object({ name: z.string(), paused: z.boolean() }).meta({ id: 'QueueState' }),
        },
      },
    })
    .serve(async ({ params: { name }, body: { paused } }) => {
      await setQueuePaused(db, name, paused);
      return { status: 200, body: { name, paused } };
    });

  endpoints
    .declare({
      method: 'get',
      path: '/v1/workers',
      id: 'listWorkers',
      tag: 'operations',
      summary: 'Workers that were heard of today',
      answers: {
        200: {
          description: 'The workers',
          schema: z.object({ workers: z.array(workerSchema) }).meta({ id: 'WorkerList' }),
        },
      },
    })
    .serve(async () => ({ status: 200, body: { workers: await listWorkers(db) } }));

  endpoints
    .declare({
      method: 'put',
      path: '/v1/workers/{id}',
      id: 'announceWorker',
      tag: 'workers',
      summary: 'Say that a worker lives; every ten seconds or so',
      params: workerParamsSchema,
      body: z.strictObject(workerShape).meta({ id: 'WorkerAnnouncement' }),
      bodyExample: { host: 'build-3', pid: 4711, queues: ['default'], slots: 10, version: '0.1.0' },
      answers: { 204: { description: 'Heard' } },
    })
    .serve(async ({ params, body }) => {
      await queue.announceWorker({ id: params.id, ...body });
      return { status: 204 };
    });

  endpoints
    .declare({
      method: 'delete',
      path: '/v1/workers/{id}',
      id: 'removeWorker',
      tag: 'workers',
      summary: 'Say that a worker has stopped',
      params: workerParamsSchema,
      answers: { 204: { description: 'Forgotten, or never known' } },
    })
    .serve(async ({ params }) => {
      await removeWorker(db, params.id);
      return { status: 204 };
    });

  endpoints
    .declare({
      method: 'get',
      path: '/v1/stats',
      id: 'readStats',
      tag: 'operations',
      summary:
        'Counts of tasks and live processes by state, the oldest ready task, recent dead letters, live workers',
      description: 'At most five seconds old.',
      answers: { 200: { description: 'The figures', schema: statsSchema } },
    })
    .serve(async () => ({ status: 200, body: await readSharedStats() }));
}
