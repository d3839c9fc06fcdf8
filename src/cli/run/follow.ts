import type { Logger } from 'pino';
import type { Database } from '../../database/connection.ts';
import type { ProcessHandle } from '../../engine/process-handle.ts';
import { complainer } from '../database.ts';
import type { Lifetime } from '../lifetime.ts';
import { completeByCurl } from './complete-by-curl.ts';
import { nameOf, oneLine } from './describe.ts';
import { type Change, isOver, noteLook, type Progress, type TaskProgress } from './progress.ts';
import { sendByCurl } from './send-by-curl.ts';
import type { View } from './view.ts';
import { watchProcess } from './watch.ts';

/** How long a cancelled process may take to end before we leave it. */
const cancelMsMax = 5_000;
/** Of more tasks that wait for somebody it is only said that they do. */
const commandsShownMax = 20;

export interface FollowOptions {
  db: Database;
  handle: ProcessHandle;
  progress: Progress;
  view: View;
  log: Logger;
  ownQueues: readonly string[];
  /** Of our own server. */
  serverUrl: string;
  needsKey: boolean;
  waitMaxMs: number | undefined;
}

/** Shows the process until it has ended, `waitMaxMs` are over, or, after a signal, it did not end when cancelled. */
export async function followProcess(
  life: Lifetime,
  { db, handle, progress, view, log, ownQueues, serverUrl, needsKey, waitMaxMs }: FollowOptions,
): Promise<'ended' | 'left'> {
  const leaving = new AbortController();
  const leave = () => leaving.abort();
  const timers: NodeJS.Timeout[] = [];
  const leaveAfter = (ms: number) => timers.push(setTimeout(leave, ms));
  const complain = complainer(log);
  let commandsShown = 0;

  function sayCommand(what: string, command: string) {
    commandsShown += 1;
    if (commandsShown <= commandsShownMax) view.say(`${what} into this and run it:\n  ${command}`);
  }

  function sayHowToComplete(name: string) {
    const command = completeByCurl({ serverUrl, processId: handle.id, task: name, needsKey });
    sayCommand(`To complete "${nameOf({ name })}", put its output`, command);
  }

  function sayHowToSend({ seen }: TaskProgress) {
    const event = seen?.awaiting?.event;
    if (event === undefined) return;
    const command = sendByCurl({ serverUrl, event, needsKey });
    sayCommand(`To send the event "${oneLine(event.name)}", put its payload`, command);
  }

  function cancel() {
    view.say('Cancelling the process; a second Ctrl-C ends at once.');
    leaveAfter(cancelMsMax);
    // One that has ended meanwhile needs no cancel.
    handle.cancel({ by: 'skipjack run' }).catch((error) => log.debug({ err: error }, 'not cancelled'));
  }

  if (waitMaxMs !== undefined) leaveAfter(waitMaxMs);
  if (life.signal.aborted) cancel();
  life.signal.addEventListener('abort', cancel);
  try {
    view.update(progress, []);
    await watchProcess(db, handle.id, {
      signal: leaving.signal,
      onAway: complain,
      onLook(look) {
        const changes: Change[] = noteLook(progress, look, { ownQueues });
        view.update(progress, changes);
        for (const change of changes) {
          if (change.kind === 'waits_for_somebody') sayHowToComplete(change.name);
          if (change.kind === 'waits') sayHowToSend(change.task);
        }
      },
    });
  } finally {
    life.signal.removeEventListener('abort', cancel);
    for (const timer of timers) clearTimeout(timer);
  }
  return isOver(progress) ? 'ended' : 'left';
}
