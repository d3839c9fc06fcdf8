import type { Logger } from 'pino';
import type { Json } from '../core/json.ts';
import { cutHead } from './executors/capture.ts';
import type { Worker } from './worker.ts';

/** Outputs are shown for orientation; whole ones are on the task. */
const outputBytesShown = 1_024;

/**
 * Logs one line at each attempt's end. Inputs, environments and error details stay out of it: only the output
 * and the error's message are shown, both cut.
 *
 * Returns what ends it.
 */
export function logAttempts(worker: Pick<Worker, 'on'>, log: Logger): () => void {
  return worker.on('attempt.ended', ({ task, outcome, success, output, error, exitCode, runMs }) => {
    const line = {
      task: task.id,
      name: task.name,
      queue: task.queue,
      attempt: task.attempt,
      outcome,
      success,
      output: shortened(output),
      error: error === null ? null : { code: error.code, message: shortened(error.message) },
      ...(exitCode === null ? {} : { exit_code: exitCode }),
      wait_ms: task.wait_ms,
      run_ms: Math.round(runMs),
    };
    const failed = outcome === 'failed' || outcome === 'timed_out' || outcome === 'lost';
    log[failed ? 'warn' : 'info'](line, `attempt ${outcome}`);
  });
}

/** The value itself if it is small, else the beginning of its JSON. */
function shortened(value: Json): Json {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  if (text.length * 3 <= outputBytesShown) return value;
  const bytes = Buffer.from(text);
  return bytes.length <= outputBytesShown ? value : `${cutHead(bytes, outputBytesShown).toString()}…`;
}
