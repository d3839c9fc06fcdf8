import type { Attempt } from './attempt.ts';
import { takeProgress } from './exchange.ts';

/** Looking costs a call of the runtime. */
const pollMs = 5_000;

/** Passes on what the container says about how far it is, until stopped. */
export function watchProgress({ runtime, context }: Attempt, container: string): () => void {
  let last = '';
  let isStopped = false;
  let timer: NodeJS.Timeout;
  const look = async () => {
    const progress = await takeProgress(runtime, container);
    if (isStopped) return;
    const text = JSON.stringify(progress) ?? '';
    if (progress !== undefined && text !== last) context.progress(context.mask.json(progress));
    last = text;
    arm();
  };
  const arm = () => {
    timer = setTimeout(look, pollMs).unref();
  };
  arm();
  return () => {
    isStopped = true;
    clearTimeout(timer);
  };
}
