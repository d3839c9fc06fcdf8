import { Engine } from '../engine/engine.ts';
import type { Queue } from '../queue/queue.ts';
import type { Lifetime } from './lifetime.ts';

/** An engine over the queue; its last starts are through before the queue is closed. */
export function attachEngine(life: Lifetime, queue: Queue): Engine {
  const engine = new Engine({ queue });
  life.onEnd('engine', () => engine.close());
  return engine;
}
