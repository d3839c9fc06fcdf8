/**
 * The loop of an engine: it thinks while something is due, then waits for a hint, for the time of what is due next, or
 * for its turn to look. A hint may be lost, so looking is the promise. Ten engines do it as well as one.
 */
import { reconnectDelayMs, withJitter } from '../../core/backoff.ts';
import { engineLine } from '../../queue/processes/inbox.ts';
import { createSlowProcesses } from './slow-processes.ts';
import { type Thinker, TurnTimedOut, thinkOnce } from './think-once.ts';

export interface Thinking {
  /** Stops when the turn under way has ended. */
  stop(): Promise<void>;
}

export interface ThinkingOptions {
  onError?: (error: unknown) => void;
  /** How often it looks without a hint. */
  pollIntervalMs?: number;
}

/** After which a process is looked at again that another had locked. */
const busyMs = 40;
/** Processes that are passed over at once. */
const busyMax = 1_000;

export function startThinking(
  queue: Thinker,
  { onError = () => {}, pollIntervalMs = 5_000 }: ThinkingOptions = {},
): Thinking {
  const stopping = new AbortController();
  const { signal } = stopping;
  /** By when they are looked at again. */
  const busy = new Map<string, number>();
  const slow = createSlowProcesses();
  let isHinted = true;
  let wake: () => void = () => {};
  const unsubscribe = queue.db.hints.subscribe((hint) => {
    if (hint !== null && !hint.lines?.some(([line]) => line === engineLine[0])) return;
    isHinted = true;
    wake();
  });

  async function loop() {
    for (let faults = 0; !signal.aborted; ) {
      try {
        // Before it looks: what comes from here on is not missed.
        isHinted = false;
        const pauseMs = await turn();
        faults = 0;
        if (pauseMs > 0 && !isHinted) await pause(pauseMs);
      } catch (error) {
        onError(error);
        if (error instanceof TurnTimedOut) {
          slow.turnTimedOut(error.processIds);
          continue;
        }
        faults += 1;
        await pause(reconnectDelayMs(faults), { isDeaf: true });
      }
    }
  }

  /** Answers how long to wait at most. */
  async function turn(): Promise<number> {
    const now = performance.now();
    for (const [id, until] of busy) if (until <= now) busy.delete(id);
    const { passOver, processesMax } = slow.next();
    const result = await thinkOnce(queue, {
      onError,
      passOver: [...busy.keys(), ...passOver],
      processesMax,
    });
    slow.turnEnded(result.processIds);
    for (const id of result.busy)
      if (busy.size < busyMax) busy.set(id, performance.now() + withJitter(busyMs));
    if (result.thought > 0) return 0;
    // No more are passed over: the next look would find them again at once.
    if (busy.size >= busyMax) return withJitter(busyMs);
    // A timer fires a millisecond early, as node has it.
    const dueMs = Math.max(
      1,
      Math.ceil(Math.min(result.nextDueMs ?? pollIntervalMs, slow.nextTryMs() ?? pollIntervalMs)) + 1,
    );
    const isBusy = busy.size > 0 || result.busy.length > 0;
    return Math.min(withJitter(pollIntervalMs), dueMs, isBusy ? withJitter(busyMs) : pollIntervalMs * 2);
  }

  function pause(ms: number, { isDeaf = false } = {}): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        wake = () => {};
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener('abort', done);
      if (signal.aborted) done();
      else if (!isDeaf) wake = done;
    });
  }

  const running = loop();
  return {
    async stop() {
      stopping.abort();
      unsubscribe();
      await running;
    },
  };
}
