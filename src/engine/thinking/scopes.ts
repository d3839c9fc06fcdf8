/**
 * What expressions ask for, read for all tasks of a round at once. What they may ask of other tasks is final: these
 * have ended. Outputs above a bound are read one by one, for one task at a time.
 */
import { crashPoint } from '../../core/crash-point.ts';
import type { Json } from '../../core/json.ts';
import type { Transaction } from '../../database/connection.ts';
import type { Scope } from '../../expression/evaluate.ts';
import {
  type Asked,
  keyOf,
  readAsked,
  readOutputs,
  type TaskOutput,
} from '../../queue/processes/read-outputs.ts';
import { type ProcessStanding, readInputs } from '../../queue/processes/read-standing.ts';

export interface Asking {
  process: ProcessStanding;
  asks: Asked[];
}

export class Scopes {
  readonly #inputs: Map<string, Json>;
  readonly #tasks: Map<string, TaskOutput>;

  private constructor(inputs: Map<string, Json>, tasks: Map<string, TaskOutput>) {
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
    const tasks = await readOutputs(tx, [...places.values()]);
    if (places.size > 0) crashPoint('engine_asked_read');
    return new Scopes(inputs, new Map(tasks.map((task) => [keyOf(task.process_id, task.ordinal), task])));
  }

  async of(
    tx: Transaction,
    { process, asks }: Asking,
    item: { value: Json; index: number } | null = null,
  ): Promise<Scope> {
    return {
      input: this.#inputs.get(process.id) ?? {},
      process: { id: process.id, definition: process.name, version: process.version },
      task: await readAsked(tx, asks, (ordinal) => this.#tasks.get(keyOf(process.id, ordinal))),
      ...(item ? { item } : {}),
    };
  }
}
