/**
 * What expressions ask for, read for all tasks of a round at once. What they may ask of other tasks is final: these
 * have ended. Outputs above a bound are read one by one, for one task at a time.
 */
import { crashPoint } from '../../core/crash-point.ts';
import type { Json } from '../../core/json.ts';
import type { Transaction } from '../../database/connection.ts';
import type { Scope } from '../../expression/evaluate.ts';
import { ExpressionFailure } from '../../expression/limits.ts';
import {
  type AskedTask,
  type ProcessStanding,
  readAskedTasks,
  readInputs,
  readLargeOutput,
} from '../../queue/processes/read-standing.ts';
import type { Asked } from './thoughts.ts';

export interface Asking {
  process: ProcessStanding;
  asks: Asked[];
}

/** Of the outputs of one task's expressions that did not come along: they are held while it is decided. */
const largeBytesMax = 16 * 1024 * 1024;

export class Scopes {
  readonly #inputs: Map<string, Json>;
  readonly #tasks: Map<string, AskedTask>;

  private constructor(inputs: Map<string, Json>, tasks: Map<string, AskedTask>) {
    this.#inputs = inputs;
    this.#tasks = tasks;
  }

  static async read(tx: Transaction, asking: Asking[]): Promise<Scopes> {
    const places = new Map<string, [string, number]>();
    for (const { process, asks } of asking)
      for (const { ordinal } of asks) places.set(keyOf(process.id, ordinal), [process.id, ordinal]);
    const processIds = new Set(asking.map(({ process }) => process.id));
    const inputs = await readInputs(tx, [...processIds]);
    if (processIds.size > 0) crashPoint('engine_inputs_read');
    const tasks = await readAskedTasks(tx, [...places.values()]);
    if (places.size > 0) crashPoint('engine_asked_read');
    return new Scopes(inputs, new Map(tasks.map((task) => [keyOf(task.process_id, task.ordinal), task])));
  }

  async of(
    tx: Transaction,
    { process, asks }: Asking,
    item: { value: Json; index: number } | null = null,
  ): Promise<Scope> {
    const outputs = new Map<string, Json>();
    let left = largeBytesMax;
    for (const { name, ordinal, members } of asks) {
      const task = this.#tasks.get(keyOf(process.id, ordinal));
      if (!task || !members.has('output')) continue;
      if (task.state !== 'completed') outputs.set(name, null);
      else if (!task.is_large) outputs.set(name, task.output);
      else {
        const large = await readLargeOutput(tx, task.id, left);
        crashPoint('engine_large_output_read');
        left -= large.bytes;
        if (left >= 0) outputs.set(name, large.output);
      }
    }
    const ordinals = new Map(asks.map(({ name, ordinal }) => [name, ordinal]));
    return {
      input: this.#inputs.get(process.id) ?? {},
      process: { id: process.id, definition: process.name, version: process.version },
      task: (name, member) => {
        const task = this.#tasks.get(keyOf(process.id, ordinals.get(name) ?? 0));
        if (!task) throw new ExpressionFailure(`there is no task ${JSON.stringify(name)}`);
        if (member !== 'output') return task[member] as Json;
        const output = outputs.get(name);
        if (output !== undefined) return output;
        const message = `the outputs that this task's expressions name are larger than ${largeBytesMax} bytes`;
        throw new ExpressionFailure(message, 'limit');
      },
      ...(item ? { item } : {}),
    };
  }
}

function keyOf(processId: string, ordinal: number): string {
  return `${ordinal} ${processId}`;
}
