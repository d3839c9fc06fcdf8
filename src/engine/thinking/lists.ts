/** Tasks with items: when the last of these has ended, or more have failed than may. */
import { crashPoint } from '../../core/crash-point.ts';
import type { Json } from '../../core/json.ts';
import {
  type ItemList,
  readItemFailures,
  readItemLists,
  readItemOutputs,
} from '../../queue/processes/read-lists.ts';
import type { Round, TaskThought } from './context.ts';

const outputBytesMax = 16 * 1024 * 1024;
/** Each may bring as much: so many in one round, the rest in the next. */
const listsMax = 4;
const errorsMax = 10;
const errorLettersMax = 1_000;

export async function endLists(round: Round, all: TaskThought[]): Promise<void> {
  const { tx, acts } = round;
  const rows = all.slice(0, listsMax);
  const lists = await readItemLists(
    tx,
    rows.map(({ process_id, task }) => [process_id, task.ordinal]),
  );
  crashPoint('engine_lists_read');
  for (const { id, process_id: processId, task_id: taskId } of rows) {
    acts.done.push(id);
    const list = lists.find((each) => each.task_id === taskId);
    if (!list) continue;
    const hasFailed = list.failed > list.failures_max;
    if (list.unended > 0) {
      if (hasFailed) acts.stoppedLists.push({ processId, ordinal: list.ordinal });
      continue;
    }
    const end = hasFailed ? await failureOf(round, list) : await outputOf(round, list);
    acts.ends.push({ taskId, processId, ...end });
  }
}

async function outputOf({ tx }: Round, list: ItemList) {
  const output = await readItemOutputs(tx, list, outputBytesMax);
  crashPoint('engine_item_outputs_read');
  if (output !== null) return { state: 'completed', output: output as Json } as const;
  const message = `The outputs of its items are larger than ${outputBytesMax} bytes together.`;
  return { state: 'failed', error: { code: 'output_too_large', message } } as const;
}

async function failureOf({ tx }: Round, list: ItemList) {
  const { failed, items } = await readItemFailures(tx, list, { errorsMax, lettersMax: errorLettersMax });
  crashPoint('engine_item_failures_read');
  const count = list.last_ordinal - list.first_ordinal + 1;
  const first = items[0];
  const may = list.failures_max === 0 ? 'none may' : `at most ${list.failures_max} may`;
  const why = first ? `; the first is item ${first.index}: ${first.error.message}` : '';
  const message = `${failed} of ${count} items failed, and ${may}${why}`;
  return {
    state: 'failed',
    error: { code: 'items_failed', message, details: { failed, items } as unknown as Json },
  } as const;
}
