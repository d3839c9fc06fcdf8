import { type CallOptions, type Calls, part } from './calls.ts';
import type { Health, QueueView, Stats, WorkerView } from './views.ts';

export interface OperationClient {
  listQueues(options?: CallOptions): Promise<QueueView[]>;
  setQueuePaused(
    name: string,
    paused: boolean,
    options?: CallOptions,
  ): Promise<Pick<QueueView, 'name' | 'paused'>>;
  listWorkers(options?: CallOptions): Promise<WorkerView[]>;
  readStats(options?: CallOptions): Promise<Stats>;
  /** @throws SkipjackError `database_unreachable` or `schema_outdated` when the server cannot work. */
  checkHealth(options?: CallOptions): Promise<Health>;
}

export function createOperationClient({ get, request }: Calls): OperationClient {
  return {
    async listQueues(options) {
      return (await get<{ queues: QueueView[] }>('/v1/queues', {}, options)).queues;
    },
    async setQueuePaused(name, paused, { signal } = {}) {
      const path = `/v1/queues/${part(name)}`;
      return (await request<QueueView>(path, { method: 'PATCH', body: { paused }, signal })).body;
    },
    async listWorkers(options) {
      return (await get<{ workers: WorkerView[] }>('/v1/workers', {}, options)).workers;
    },
    readStats: (options) => get('/v1/stats', {}, options),
    checkHealth: (options) => get('/health', {}, options),
  };
}
