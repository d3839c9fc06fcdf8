/**
 * A claim says that its worker lives. Said at most every ten seconds for each worker, and never waited for:
 * whether people see a worker is no reason to keep it from its work.
 */
import type { WorkerInfo } from '../core/task-source.ts';
import type { Queue } from '../queue/queue.ts';
import type { ApiLogger } from './http/logger.ts';

const everyMs = 10_000;
/** Workers remembered; past it the one that was announced longest ago is forgotten, and announced again. */
const rememberedMax = 10_000;

export interface Announcements {
  /** Of a worker that we know of by its claims alone. */
  byClaim(worker: WorkerInfo): void;
}

export function createAnnouncements(queue: Queue, log: ApiLogger): Announcements {
  const announcedAt = new Map<string, number>();
  return {
    byClaim(worker) {
      const now = performance.now();
      if (now - (announcedAt.get(worker.id) ?? Number.NEGATIVE_INFINITY) < everyMs) return;
      // Deleted first: a Map keeps the order of insertion, and the first is then the oldest.
      announcedAt.delete(worker.id);
      announcedAt.set(worker.id, now);
      if (announcedAt.size > rememberedMax) {
        for (const oldest of announcedAt.keys()) {
          announcedAt.delete(oldest);
          break;
        }
      }
      queue.announceWorker(worker).catch((error) => {
        announcedAt.delete(worker.id);
        log.debug({ err: error, worker: worker.id }, 'could not announce a worker');
      });
    },
  };
}
