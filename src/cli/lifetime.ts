/**
 * The life of a long-running command: from its start to an orderly end on SIGINT, SIGTERM or SIGHUP.
 *
 * What was started last ends first. A second signal ends at once, and so does an end that takes too long; even
 * then what is marked `always` (the embedded Postgres, which would live on) is ended before the OS process is.
 */
import type { Logger } from 'pino';

export interface Lifetime {
  /** Aborted when it is time to end. */
  readonly signal: AbortSignal;
  /** Has `end` called when it is time, after everything that was started later has ended. */
  onEnd(name: string, end: () => Promise<unknown>, options?: { always?: boolean }): void;
}

interface Step {
  name: string;
  end: () => Promise<unknown>;
  always: boolean;
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const interrupted = 130;

/**
 * A terminal sends Ctrl-C to `npx` and to us, and `npx` hands it on: the same wish, twice within a moment.
 */
const sameWishMs = 500;
const alwaysMsMax = 8_000;

/** Steps of this OS process that must be taken before it may exit. */
const mustEnd = new Set<Step>();

export interface LifeOptions {
  log: Logger;
  /** How long the end may take. */
  endMsMax: number;
}

/** Runs `start`, waits for a signal, ends what was started. Resolves when everything has ended. */
export function liveUntilSignal(
  options: LifeOptions,
  start: (life: Lifetime) => Promise<void>,
): Promise<void> {
  return live(options, async (life) => {
    await start(life);
    await untilAborted(life.signal);
  });
}

/**
 * Runs `work`, then ends what was started. A signal does not end `work`: it is told by the signal of its life, and
 * comes to its end by itself. Resolves when everything has ended.
 */
export async function live(
  { log, endMsMax }: LifeOptions,
  work: (life: Lifetime) => Promise<void>,
): Promise<void> {
  const stopping = new AbortController();
  const steps: Step[] = [];
  let askedAt = 0;

  const onSignal = (signal: NodeJS.Signals) => {
    if (!stopping.signal.aborted) {
      askedAt = performance.now();
      log.info({ signal }, 'stopping; a second signal ends at once');
      stopping.abort();
    } else if (performance.now() - askedAt > sameWishMs) {
      log.warn({ signal }, 'ending at once');
      void exitAtOnce(interrupted);
    }
  };
  for (const signal of signals) process.on(signal, onSignal);

  try {
    await work({
      signal: stopping.signal,
      onEnd(name, end, { always = false } = {}) {
        const step = { name, end, always };
        steps.push(step);
        if (always) mustEnd.add(step);
      },
    });
  } catch (error) {
    // What was called off midway is no failure.
    if (!stopping.signal.aborted) throw error;
  } finally {
    await endAll(steps, { log, endMsMax });
    for (const signal of signals) process.off(signal, onSignal);
  }
}

/** Ends the OS process, after what must not outlive it. */
export async function exitAtOnce(code: number): Promise<never> {
  const ends = Promise.allSettled([...mustEnd].map((step) => step.end()));
  await Promise.race([ends, new Promise((resolve) => setTimeout(resolve, alwaysMsMax))]);
  process.exit(code);
}

async function endAll(steps: Step[], { log, endMsMax }: { log: Logger; endMsMax: number }): Promise<void> {
  let current = '';
  const late = setTimeout(() => {
    log.error({ step: current }, `ending took longer than ${endMsMax} ms; ending at once`);
    void exitAtOnce(1);
  }, endMsMax);
  for (const step of steps.toReversed()) {
    current = step.name;
    await step
      .end()
      .catch((error: unknown) => log.error({ err: error, step: step.name }, 'could not end in order'));
    mustEnd.delete(step);
  }
  clearTimeout(late);
}

function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  // Holds the event loop: a server whose sockets are all idle must not end for want of things to do.
  const held = setInterval(() => {}, 2_147_483_647);
  return new Promise((resolve) => {
    signal.addEventListener(
      'abort',
      () => {
        clearInterval(held);
        resolve();
      },
      { once: true },
    );
  });
}
