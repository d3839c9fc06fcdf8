import { createBatcher } from '../core/batching.ts';
import { SkipjackError } from '../core/errors.ts';
import { newId } from '../core/ids.ts';
import type { Json } from '../core/json.ts';
import { inputBytesMax } from '../core/task-input.ts';
import { type Database, type DatabaseOptions, openDatabase } from '../database/connection.ts';
import { isDataFault } from '../database/faults.ts';
import { repeatingDatabaseFaults } from '../database/repeat.ts';
import { createEventSender } from '../queue/events/sender.ts';
import { openQueue, type Queue } from '../queue/queue.ts';
import { checkDefinition, type DefinitionSource, readSource } from './check-definition.ts';
import { setActive } from './definition-life.ts';
import { type DefinitionDiff, diffDefinition } from './diff-definition.ts';
import { noSuchDefinition } from './no-such-definition.ts';
import { ProcessHandle } from './process-handle.ts';
import { findInlineDefinition, keepInlineDefinition, type Published, publishDefinition } from './publish.ts';
import { type DefinitionSummary, readDefinition } from './read-definitions.ts';
import { type EventToSend, type SentEvent, sendEvent } from './send-event.ts';
import { type NewProcess, type StartResult, startProcesses } from './start.ts';
import { refused, requireJson, requireText } from './values.ts';

/** A queue that you have opened, or where the database is. */
export type EngineOptions = { queue: Queue } | DatabaseOptions;

export interface StartOptions {
  /** An object, of at most 1 MiB as JSON; checked against the rules of the definition. */
  input?: Json;
  /** The same key and the same request: the same process. 1 to 200 letters. */
  idempotencyKey?: string;
  /** Of a definition by name; the newest by default. */
  version?: number;
  /** Somebody will wait for the end: it is announced without being asked for. */
  awaited?: boolean;
}

/** The name of a published definition, or one in hand: its text, an object, a file. */
export type ToStart = string | DefinitionSource;

/** Each may have ten thousand tasks, and one statement should take seconds at worst. */
const startsPerBatchMax = 20;

const versionMax = 2_147_483_647;

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
  readonly #keyedStarts;
  readonly #events;
  #closed: Promise<void> | null = null;

  constructor(options: EngineOptions) {
    this.#ownDatabase = 'queue' in options ? null : openDatabase(options);
    this.queue = 'queue' in options ? options.queue : openQueue(this.#ownDatabase as Database);
    const line = () =>
      createBatcher({
        flush: (processes: NewProcess[]) => startProcesses(this.db, processes),
        sizeOf: (process) => JSON.stringify(process.input).length + 300,
        itemsMax: startsPerBatchMax,
        lanes: 2,
        ...repeatingDatabaseFaults({ patienceMs: 10_000, counters: this.queue.repeated }),
      });
    this.#starts = line();
    // A line of their own: a stranger's open transaction with one of their keys must not hold up the others.
    this.#keyedStarts = line();
    this.#events = createEventSender(this.db, this.queue.repeated);
  }

  get db(): Database {
    return this.queue.db;
  }

  /**
   * Publishes a definition under `name`, or the name in its text.
   *
   * The text of the newest version again is that version. A name that is inactive stays so.
   *
   * @throws SkipjackError `invalid_definition` with every problem and its place.
   */
  async publish(given: DefinitionSource, { name }: { name?: string } = {}): Promise<Published> {
    const wanted = name === undefined ? null : requireText(name, { pointer: '/name', lettersMax: 200 });
    const checked = await checkDefinition(this.db, await readSource(given), { as: wanted });
    const named = checked.plan.name;
    if (wanted !== null && named !== null && named !== wanted) {
      throw new SkipjackError(
        'invalid_definition',
        `The definition calls itself "${named}", but is to be published as "${wanted}". Leave its name out, or make them equal.`,
        { problems: [{ pointer: '/name', code: 'other_name', message: `is "${named}", not "${wanted}"` }] },
      );
    }
    const publishedAs = wanted ?? named;
    if (publishedAs === null) {
      throw new SkipjackError(
        'invalid_definition',
        'A definition is published under a name, and it has none.',
        { problems: [{ pointer: '/name', code: 'missing_name', message: 'is missing' }] },
      );
    }
    return publishDefinition(this.db, publishedAs, checked);
  }

  /**
   * With `active` false nothing more is started by this name, until it is active again; what runs goes on. Asked again
   * it changes nothing.
   *
   * @throws SkipjackError `not_found`.
   */
  async setDefinitionActive(
    name: string,
    active: boolean,
    { by }: { by?: string | undefined } = {},
  ): Promise<DefinitionSummary> {
    requireText(name, { pointer: '/name', lettersMax: 200 });
    const who = by === undefined ? null : requireText(by, { pointer: '/by', lettersMax: 200 });
    await setActive(this.db, name, { active, by: who });
    const found = await readDefinition(this.db, name);
    if (!found) throw await noSuchDefinition(this.db, name);
    const { source: _source, plan: _plan, ...summary } = found;
    return summary;
  }

  /**
   * What is different between two versions of a definition, by task and key; the two newest unless they are named.
   *
   * @throws SkipjackError `not_found`, also where there is only one version.
   */
  async diffDefinitions(
    name: string,
    versions: { from?: number | undefined; to?: number | undefined } = {},
  ): Promise<DefinitionDiff> {
    return diffDefinition(this.db, requireText(name, { pointer: '/name', lettersMax: 200 }), versions);
  }

  /**
   * Sends an event: every task that waits for its name and key completes with the payload; where none does, the event
   * is kept for the first that comes to wait.
   *
   * To send one inside a transaction of your own, call the SQL function `skipjack.send_event(name, key, payload)` in
   * it.
   *
   * @throws SkipjackError `invalid_request`, `idempotency_conflict`, `event_busy`.
   */
  async sendEvent(event: EventToSend): Promise<SentEvent> {
    return sendEvent(this.#events, event);
  }

  /**
   * Starts a process.
   *
   * @throws SkipjackError `not_found` for a name that is not published, `definition_inactive`, `invalid_definition`,
   * `invalid_input`, `invalid_request`, `idempotency_conflict`, `idempotency_key_busy`.
   */
  async startProcess(toStart: ToStart, options: StartOptions = {}): Promise<ProcessHandle> {
    return (await this.start(toStart, options)).process;
  }

  /** As `startProcess`; says also whether the process is new, or the idempotency key's. */
  async start(
    toStart: ToStart,
    options: StartOptions = {},
  ): Promise<{ process: ProcessHandle; created: boolean }> {
    const request = checkOptions(toStart, options);
    const result = await this.#insert({
      ...request,
      id: newId(),
      definition: typeof toStart === 'string' ? toStart : null,
      definition_id: typeof toStart === 'string' ? null : await this.#keepInline(toStart),
    });
    switch (result.kind) {
      case 'created':
      case 'existing':
        return { process: this.process(result.id), created: result.kind === 'created' };
      case 'key_conflict':
        throw new SkipjackError(
          'idempotency_conflict',
          `The idempotency key "${request.idempotency_key}" started process ${result.id} by another request. Use a new key for a new request.`,
          { extra: { existing_id: result.id } },
        );
      case 'key_busy':
        throw new SkipjackError(
          'idempotency_key_busy',
          `Another transaction is using the idempotency key "${request.idempotency_key}". Try again.`,
        );
      case 'invalid_input':
        throw invalidInput(result.problems);
      case 'invalid':
        throw invalidInput([{ pointer: '', message: `Postgres does not take it: ${result.message}` }]);
      case 'definition_inactive':
        throw new SkipjackError(
          'definition_inactive',
          `Nothing is started by the definition "${toStart}" any more: it is inactive. Make it active again (skipjack definitions activate, or PATCH /v1/definitions/{name}), or start another.`,
        );
      case 'no_such_definition':
        throw typeof toStart === 'string'
          ? await noSuchDefinition(this.db, toStart, request.version)
          : new SkipjackError(
              'not_found',
              'The definition was deleted while it was being started. Try again.',
            );
    }
  }

  /** A process by its id; whether there is one shows when it is asked. */
  process(id: string): ProcessHandle {
    return new ProcessHandle(this.queue, id);
  }

  /** Ends what it has opened, once its starts are answered. After this, it answers no call. */
  close(): Promise<void> {
    this.#closed ??= this.#end();
    return this.#closed;
  }

  async #end(): Promise<void> {
    await Promise.all([this.#starts.idle(), this.#keyedStarts.idle(), this.#events.idle()]);
    if (this.#ownDatabase === null) return;
    await this.queue.close();
    await this.#ownDatabase.close();
  }

  async #insert(process: NewProcess): Promise<StartResult> {
    try {
      return await (process.idempotency_key === null ? this.#starts : this.#keyedStarts).add(process);
    } catch (error) {
      if (!isDataFault(error)) throw error;
      return { kind: 'invalid', message: (error as Error).message };
    }
  }

  /** A text that is known was checked when it came first. */
  async #keepInline(given: DefinitionSource): Promise<string> {
    const text = await readSource(given);
    const known = await findInlineDefinition(this.db, text.source);
    return known ?? keepInlineDefinition(this.db, await checkDefinition(this.db, text));
  }
}

/** @throws SkipjackError `invalid_request`, `invalid_input`. */
function checkOptions(
  toStart: ToStart,
  { input, idempotencyKey, version, awaited = false }: StartOptions,
): Pick<NewProcess, 'input' | 'idempotency_key' | 'version' | 'awaited'> {
  if (typeof toStart === 'string') requireText(toStart, { pointer: '/definition', lettersMax: 200 });
  if (version !== undefined) checkVersion(toStart, version);
  return {
    input: requireJson(input ?? {}, { pointer: '/input', code: 'invalid_input', bytesMax: inputBytesMax }),
    idempotency_key:
      idempotencyKey === undefined
        ? null
        : requireText(idempotencyKey, { pointer: '/idempotency_key', lettersMax: 200 }),
    version: version ?? null,
    awaited,
  };
}

function checkVersion(toStart: ToStart, version: number): void {
  const refuse = (message: string) => refused('invalid_request', [{ pointer: '/version', message }]);
  if (typeof toStart !== 'string') throw refuse('goes with the name of a published definition');
  if (!Number.isInteger(version) || version < 1 || version > versionMax)
    throw refuse('is not the number of a version');
}

function invalidInput(problems: { pointer: string; message: string }[]): SkipjackError {
  return refused(
    'invalid_input',
    problems.map((problem) => ({ ...problem, pointer: `/input${problem.pointer}` })),
  );
}
