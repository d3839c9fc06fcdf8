import type { Logger } from 'pino';
import type { Json } from '../../core/json.ts';
import type { TaskError } from '../../core/task.ts';
import { progressBytesMax, type TaskSource } from '../../core/task-source.ts';
import { enqueueOnceFor } from '../enqueue-once.ts';
import { FinalError, type Handler, type TaskContext } from '../handler.ts';
import { taskLogger } from '../logs/task-logger.ts';
import { checkOutput, storableDetails, storableMessage } from '../storable.ts';
import type { Ending, ExecutionContext, Executor, RunnableTask } from './executor.ts';

/**
 * Runs tasks by the worker's own functions.
 *
 * JavaScript cannot be killed. A handler that has not ended `killGraceMs` after its signal was aborted is left
 * to itself and its attempt ends without it: the server must hear of the timeout, and the slot must not be lost
 * for ever. What it still does then may overlap with the task's next attempt; that is announced.
 */
export function handlerExecutor({
  handlers,
  source,
  log,
}: {
  handlers: Record<string, Handler>;
  source: TaskSource;
  log: Logger;
}): Executor {
  return async (task, execution) => {
    const { signal, killGraceMs } = execution;
    const handler = task.spec?.type === 'handler' ? handlers[task.spec.handler] : undefined;
    if (handler === undefined) throw new TypeError(`no handler for task ${task.id}`);
    const ended = call(handler, task, execution, { source, log });
    const patience = patienceAfterAbort(signal, killGraceMs);
    const ending = await Promise.race([ended, patience.over]);
    patience.forget();
    return ending ?? { kind: 'stopped', stillRunning: ended };
  };
}

async function call(
  handler: Handler,
  task: RunnableTask,
  { signal, heartbeat, progress, mask, log: attemptLog }: ExecutionContext,
  { source, log }: { source: TaskSource; log: Logger },
): Promise<Ending> {
  let taskLog: Logger | undefined;
  const context: TaskContext = {
    task,
    attempt: task.attempt,
    signal,
    // Made when it is asked for: most quick tasks log nothing.
    get log() {
      taskLog ??= taskLogger(log, { task: task.id, attempt: task.attempt }, (text, stream) =>
        attemptLog.say(mask.text(text), { stream }),
      );
      return taskLog;
    },
    progress: (value) => progress(checkProgress(value)),
    heartbeat,
    enqueue: enqueueOnceFor(task, source),
  };
  try {
    const output = await handler(task.input, context);
    // Returning early is how a handler obeys its signal: what it returns then is no sign that it was done.
    if (signal.aborted) return { kind: 'stopped' };
    const checked = checkOutput(output);
    if (checked.ok) return { kind: 'completed', output: checked.value };
    const { code, message } = checked;
    return { kind: 'failed', error: { code, message } };
  } catch (error) {
    if (signal.aborted) return { kind: 'stopped' };
    const final = error instanceof FinalError ? { retry: false } : {};
    return { kind: 'failed', error: toTaskError(error), ...final };
  }
}

function checkProgress(value: unknown): Json {
  const checked = checkOutput(value);
  if (!checked.ok) throw new TypeError(checked.message.replace('the output', 'the progress'));
  if (Buffer.byteLength(JSON.stringify(checked.value)) <= progressBytesMax) return checked.value;
  throw new TypeError(
    `the progress is larger than ${progressBytesMax} bytes of JSON; say the rest in the log`,
  );
}

const codeLengthMax = 100;

function toTaskError(error: unknown): TaskError {
  if (!(error instanceof Error))
    return { code: 'handler_error', message: storableMessage(`threw ${String(error)}`) };
  const { code, details } = error as Error & { code?: unknown; details?: unknown };
  const kept = storableDetails(details);
  return {
    code:
      typeof code === 'string' && code !== ''
        ? storableMessage(code.slice(0, codeLengthMax))
        : 'handler_error',
    message: storableMessage(error.message || error.name),
    // Where it was thrown is all that helps with a TypeError in a dead letter.
    details: kept ?? { stack: storableMessage(error.stack ?? '') },
  };
}

/** `over` resolves, to nothing, `ms` after `signal` was aborted. */
function patienceAfterAbort(
  signal: AbortSignal,
  ms: number,
): { over: Promise<undefined>; forget: () => void } {
  let timer: NodeJS.Timeout | undefined;
  let startTimer: () => void = () => {};
  const over = new Promise<undefined>((resolve) => {
    startTimer = () => {
      timer = setTimeout(resolve, ms, undefined);
    };
  });
  if (signal.aborted) startTimer();
  else signal.addEventListener('abort', startTimer, { once: true });
  return {
    over,
    forget: () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', startTimer);
    },
  };
}
