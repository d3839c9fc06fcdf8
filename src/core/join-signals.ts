/**
 * A signal that is aborted when one of `signals` is, until `release` is called.
 *
 * What `AbortSignal.any` makes is held by each of its sources for as long as they live (Node 20): of a worker's
 * claims, one after the other, each would be kept until the worker ends.
 */
export function joinSignals(...signals: (AbortSignal | undefined)[]): {
  signal: AbortSignal;
  release: () => void;
} {
  const joined = new AbortController();
  const onAbort = ({ target }: Event) => joined.abort((target as AbortSignal).reason);
  for (const signal of signals) {
    if (signal?.aborted) joined.abort(signal.reason);
    signal?.addEventListener('abort', onAbort);
  }
  return {
    signal: joined.signal,
    release: () => {
      for (const signal of signals) signal?.removeEventListener('abort', onAbort);
    },
  };
}
