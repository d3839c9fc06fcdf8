/**
 * Cancel: what waits ends at once, what runs is asked to stop; the process ends with the last of them, and with the
 * clean-up tasks that run on a cancel. A pause holds nothing back any more: whatever is left is to end.
 */
import { crashPoint } from '../../core/crash-point.ts';
import { type Database, inTransaction, type Transaction } from '../../database/connection.ts';
import type { Hint } from '../../database/hints.ts';
import { recordEvent } from './events.ts';
import { engineLine } from './inbox.ts';
import { lockProcess, type MoveOptions, needsEngine, requireRevision } from './lock.ts';
import { stopProcesses } from './stop.ts';

export type CancelProcessResult =
  /** Also when it had been asked before. */
  | { kind: 'cancelling' }
  /** It is over, otherwise than by a cancel. */
  | { kind: 'ended'; state: 'completed' | 'failed' }
  | { kind: 'not_found' };

export async function cancelProcess(
  db: Database,
  id: string,
  options: MoveOptions = {},
): Promise<CancelProcessResult> {
  let hints: Hint[] = [];
  const result = await inTransaction(db, async (tx): Promise<CancelProcessResult> => {
    const process = await lockProcess(tx, id);
    if (!process) return { kind: 'not_found' };
    if (process.state === 'cancelling' || process.state === 'cancelled') return { kind: 'cancelling' };
    requireRevision(process, options);
    if (process.state === 'completed' || process.state === 'failed')
      return { kind: 'ended', state: process.state };
    await tx.query(
      `update skipjack.processes set state = 'cancelling', revision = revision + 1 where id = $1`,
      [id],
    );
    crashPoint('cancel_marked');
    await recordEvent(tx, { processId: id, event: 'cancel_requested', by: options.by });
    crashPoint('cancel_recorded');
    hints = await stopProcesses(tx, { whole: [id], withEngine: needsEngine(process) });
    if (process.paused && needsEngine(process)) hints.push(...(await wakeThoughts(tx, id)));
    return { kind: 'cancelling' };
  });
  crashPoint('cancel_committed');
  for (const hint of hints) db.hints.announce(hint);
  return result;
}

/** What an engine has postponed until the process is resumed is due: that will not be. */
async function wakeThoughts(tx: Transaction, id: string): Promise<Hint[]> {
  await tx.query(
    `update skipjack.engine_items set available_at = clock_timestamp()
     where process_id = $1 and available_at = 'infinity'`,
    [id],
  );
  crashPoint('cancel_thoughts_woken');
  return [{ lines: [engineLine] }];
}
