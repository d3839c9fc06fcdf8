import { createBatcher } from '../core/batching.ts';
import { SkipjackError } from '../core/errors.ts';
import { newId } from '../core/ids.ts';
import { findJsonProblem, type Json } from '../core/json.ts';
import { type Database, type DatabaseOptions, openDatabase } from '../database/connection.ts';
import { isDataFault } from '../database/faults.ts';
import { repeatingDatabaseFaults } from '../database/repeat.ts';
import { openQueue, type Queue } from '../queue/queue.ts';
import { checkDefinition, type DefinitionSource, readSource } from './check-definition.ts';
import { ProcessHandle } from './process-handle.ts';
import { findInlineDefinition, keepInlineDefinition, type Published, publishDefinition } from './publish.ts';
import { listDefinitionNames } from './read-definitions.ts';
import { type NewProcess, type StartResult, startProcesses } from './start.ts';

/** A queue that you have opened, or where the database is. */
export type EngineOptions = { queue: Queue } | DatabaseOptions;

export interface StartOptions {
  input?: Json;
  /** The same key and the same request: the same process. */
  idempotencyKey?: string;
  /** Of a definition by name; the newest by default. */
  version?: number;
  /** Somebody will wait for the end: it is announced without being asked for. */
  awaited?: boolean;
}

/** The name of a published definition, or one in hand: its text, an object, a file. */
export type ToStart = string | DefinitionSource;

/**
 * Definitions and processes.
 *
 * It thinks in the database, under the lock of one process at a time, so there may be as many of it as you like.
 * Work is done by workers, or by whoever completes tasks by their names; some OS process must run the upkeep, as
 * `skipjack server` does.
 */
export class Engine {
  readonly queue: Queue;
  readonly #ownDatabase: Database | null;
  readonly #starts;

  constructor(options: EngineOptions) {
    this.#ownDatabase = 'queue' in options ? null : openDatabase(options);
    this.queue = 'queue' in options ? options.queue : openQueue(this.#ownDatabase as Database);
    this.#starts = createBatcher({
      flush: (processes: NewProcess[]) => startProcesses(this.db, processes),
      sizeOf: (process) => JSON.stringify(process.input).length + 300,
      itemsMax: 200,
      lanes: 2,
      ...repeatingDatabaseFaults({ patienceMs: 10_000, counters: this.queue.repeated }),
    });
  }

  get db(): Database {
    return this.queue.db;
  }

  /**
   * Publishes a definition under `name`, or the name in its text.
   *
   * The text of the newest version again is that version.
   *
   * @throws SkipjackError `invalid_definition` with every problem and its place.
   */
  async publish(given: DefinitionSource, { name }: { name?: string } = {}): Promise<Published> {
    const text = await readSource(given);
    const checked = checkDefinition(text);
    const named = checked.plan.name;
    if (name !== undefined && named !== null && named !== name) {
      throw new SkipjackError(
        'invalid_definition',
        `The definition calls itself "${named}", but is to be published as "${name}". Leave its name out, or make them equal.`,
        { problems: [{ pointer: '/name', code: 'other_name', message: `is "${named}", not "${name}"` }] },
      );
    }
    const publishedAs = name ?? named;
    if (publishedAs === null) {
      throw new SkipjackError(
        'invalid_definition',
        'A definition is published under a name, and it has none.',
        {
          problems: [{ pointer: '/name', code: 'missing_name', message: 'is missing' }],
        },
      );
    }
    return publishDefinition(this.db, publishedAs, checked);
  }

  /**
   * Starts a process.
   *
   * @throws SkipjackError `not_found` for a name that is not published, `invalid_definition`, `invalid_input`,
   * `idempotency_conflict`, `idempotency_key_busy`.
   */
  async startProcess(toStart: ToStart, options: StartOptions = {}): Promise<ProcessHandle> {
    return (await this.start(toStart, options)).process;
  }

  /** As `startProcess`; says also whether the process is new, or the idempotency key's. */
  async start(
    toStart: ToStart,
    options: StartOptions = {},
  ): Promise<{ process: ProcessHandle; created: boolean }> {
    const { input = {}, idempotencyKey = null, version = null, awaited = false } = options;
    const problem = findJsonProblem(input);
    if (problem) throw invalidInput([{ pointer: problem.pointer, message: problem.message }]);
    const result = await this.#insert({
      id: newId(),
      definition: typeof toStart === 'string' ? toStart : null,
      definition_id: typeof toStart === 'string' ? null : await this.#keepInline(toStart),
      version,
      input,
      idempotency_key: idempotencyKey,
      awaited,
    });
    switch (result.kind) {
      case 'created':
      case 'existing':
        return { process: this.process(result.id), created: result.kind === 'created' };
      case 'key_conflict':
        throw new SkipjackError(
          'idempotency_conflict',
          `The idempotency key "${idempotencyKey}" started process ${result.id} by another request. Use a new key for a new request.`,
          { extra: { existing_id: result.id } },
        );
      case 'key_busy':
        throw new SkipjackError(
          'idempotency_key_busy',
          `Another transaction is using the idempotency key "${idempotencyKey}". Try again.`,
        );
      case 'invalid_input':
        throw invalidInput(result.problems);
      case 'invalid':
        throw invalidInput([{ pointer: '', message: `Postgres does not take it: ${result.message}` }]);
      case 'no_such_definition':
        throw await this.#noSuchDefinition(String(toStart), version);
    }
  }

  /** A process by its id; whether there is one shows when it is asked. */
  process(id: string): ProcessHandle {
    return new ProcessHandle(this.queue, id);
  }

  /** Ends what it has opened: after this, no call is answered. */
  async close(): Promise<void> {
    await this.#starts.idle();
    if (this.#ownDatabase === null) return;
    await this.queue.close();
    await this.#ownDatabase.close();
  }

  async #insert(process: NewProcess): Promise<StartResult> {
    try {
      return await this.#starts.add(process);
    } catch (error) {
      if (!isDataFault(error)) throw error;
      return { kind: 'invalid', message: (error as Error).message };
    }
  }

  /** A text that is known was checked when it came first. */
  async #keepInline(given: DefinitionSource): Promise<string> {
    const text = await readSource(given);
    const known = await findInlineDefinition(this.db, text.source);
    return known ?? keepInlineDefinition(this.db, checkDefinition(text));
  }

  async #noSuchDefinition(name: string, version: number | null): Promise<SkipjackError> {
    const names = await listDefinitionNames(this.db);
    if (version !== null && names.includes(name))
      return new SkipjackError('not_found', `The definition "${name}" has no version ${version}.`);
    const published =
      names.length === 0
        ? 'None is published yet'
        : `Published are ${names
            .slice(0, 10)
            .map((each) => `"${each}"`)
            .join(', ')}${names.length > 10 ? ' and more' : ''}`;
    return new SkipjackError(
      'not_found',
      `There is no definition "${name.slice(0, 200)}". ${published}: PUT /v1/definitions/{name} publishes one.`,
    );
  }
}

function invalidInput(problems: { pointer: string; message: string }[]): SkipjackError {
  const pointed = problems.map((problem) => ({ ...problem, pointer: `/input${problem.pointer}` }));
  const [first] = pointed;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  return new SkipjackError('invalid_input', `${first?.pointer}: ${first?.message}${more}`, {
    problems: pointed,
  });
}
