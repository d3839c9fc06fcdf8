import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { TaskSource } from '../core/task-source.ts';
import type { Handler } from '../worker/handler.ts';
import { logAttempts } from '../worker/log-attempts.ts';
import { logTrouble } from '../worker/log-trouble.ts';
import { createWorker } from '../worker/worker.ts';
import type { Lifetime } from './lifetime.ts';
import type { PreparedWorker } from './prepare-worker.ts';
import { version } from './version.ts';

/** Starts a worker that logs what it does, and drains it when the command ends. */
export function attachWorker(
  life: Lifetime,
  {
    source,
    config,
    log,
    prepared,
    name,
    handlers = {},
    killGraceMs,
    logsAttempts = true,
  }: {
    source: TaskSource;
    config: Pick<Config, 'queues' | 'concurrency' | 'leaseMs' | 'graceMs'>;
    log: Logger;
    prepared: PreparedWorker;
    name?: string | undefined;
    handlers?: Record<string, Handler>;
    killGraceMs?: number;
    /** False: somebody else tells of them. */
    logsAttempts?: boolean;
  },
): void {
  const worker = createWorker({
    source,
    handlers,
    ...prepared,
    slots: config.concurrency,
    leaseMs: config.leaseMs,
    graceMs: config.graceMs,
    version,
    log,
    ...(config.queues === null ? {} : { queues: config.queues }),
    ...(name === undefined ? {} : { name }),
    ...(killGraceMs === undefined ? {} : { killGraceMs }),
  });
  if (logsAttempts) logAttempts(worker, log);
  logTrouble(worker, log);
  life.onEnd('worker', () => worker.stop());
  worker.start();
  // The pid of an npx is not ours: whoever wants to signal this worker reads it here.
  log.info(
    {
      worker: worker.id,
      queues: worker.queues,
      slots: config.concurrency,
      containers: prepared.containerRuntime?.kind ?? null,
    },
    `worker started, pid ${process.pid}`,
  );
}
