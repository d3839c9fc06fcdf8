/**
 * Pausing a process: none of its tasks is handed out until it is resumed; what runs goes on.
 *
 * No engine thinks about a paused process: it postpones what it finds in the inbox to infinity, and there the resume
 * finds it. What was not due yet keeps its time.
 */
import { crashPoint } from '../../core/crash-point.ts';
import { type Database, inTransaction } from '../../database/connection.ts';
import { recordEvent } from './events.ts';
import { engineLine } from './inbox.ts';
import { lockItems, lockProcess, type MoveOptions, requireRevision } from './lock.ts';

export type PauseProcessResult =
  /** Also when it was so before. */
  { kind: 'done' } | { kind: 'ended'; state: string } | { kind: 'not_found' };

export async function setProcessPaused(
  db: Database,
  id: string,
  paused: boolean,
  options: MoveOptions = {},
): Promise<PauseProcessResult> {
  let lines: [string, number][] = [];
  const result = await inTransaction(db, async (tx): Promise<PauseProcessResult> => {
    const process = await lockProcess(tx, id);
    if (!process) return { kind: 'not_found' };
    if (process.paused === paused && !isOver(process.state)) return { kind: 'done' };
    requireRevision(process, options);
    if (isOver(process.state)) return { kind: 'ended', state: process.state };
    await tx.query('update skipjack.processes set paused = $2, revision = revision + 1 where id = $1', [
      id,
      paused,
    ]);
    crashPoint('pause_marked');
    await recordEvent(tx, { processId: id, event: paused ? 'paused' : 'resumed', by: options.by });
    crashPoint('pause_recorded');
    await lockItems(tx, [id]);
    crashPoint('pause_items_locked');
    const { rows } = await tx.query<{ queue: string; priority: number }>(
      `with held as (
         update skipjack.queue_items as item set held = $2
         where item.task_id = any (array(
           select id from skipjack.tasks where process_id = $1 and state = 'active'))
         returning item.queue, item.priority
       )
       select distinct queue, priority from held`,
      [id, paused],
    );
    crashPoint('pause_items_held');
    if (paused) return { kind: 'done' };
    const postponed = await tx.query(
      `update skipjack.engine_items set available_at = clock_timestamp()
       where process_id = $1 and available_at = 'infinity'`,
      [id],
    );
    crashPoint('pause_thoughts_resumed');
    lines = rows.map((row) => [row.queue, row.priority]);
    if (postponed.rowCount) lines.push(engineLine);
    return { kind: 'done' };
  });
  crashPoint('pause_committed');
  if (lines.length > 0) db.hints.announce({ lines, putBack: true });
  return result;
}

/** One that is being cancelled has nothing left to hold. */
function isOver(state: string): boolean {
  return !['running', 'failing'].includes(state);
}
