import type { Attempt } from './attempt.ts';
import type { CliEnd, StartOptions } from './runtime.ts';

/** A daemon that takes longer has a trouble of its own. */
const makeTimeoutMs = 60_000;

/** How long a command that makes something may go on after its attempt was stopped. */
const afterStopMs = 3_000;

/**
 * Runs a command that makes something. A stop does not kill it at once: it takes some milliseconds, and killed in the
 * middle it leaves open whether the daemon still makes the thing after we have looked for it.
 */
export async function make(attempt: Attempt, args: string[], options: StartOptions = {}): Promise<CliEnd> {
  const { signal } = attempt.context;
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const onAbort = () => {
    timer = setTimeout(() => late.abort(), afterStopMs);
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  const end = await attempt.runtime.run(args, { ...options, timeoutMs: makeTimeoutMs, signal: late.signal });
  clearTimeout(timer);
  signal.removeEventListener('abort', onAbort);
  if (end.kind !== 'exited') attempt.isUncertain = true;
  return end;
}
