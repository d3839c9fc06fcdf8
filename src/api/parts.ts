import type { Engine } from '../engine/engine.ts';
import type { Queue } from '../queue/queue.ts';
import type { Announcements } from './announcements.ts';
import type { Endpoints } from './http/endpoint.ts';
import type { ApiLogger } from './http/logger.ts';
import type { LongPolls } from './http/long-polls.ts';
import type { ProcessReader } from './process-reader.ts';
import type { TaskReader } from './task-reader.ts';

/** What the routes share. */
export interface ApiParts {
  endpoints: Endpoints;
  engine: Engine;
  /** The engine's. */
  queue: Queue;
  longPolls: LongPolls;
  announcements: Announcements;
  tasks: TaskReader;
  processes: ProcessReader;
  log: ApiLogger;
  version: string;
}
