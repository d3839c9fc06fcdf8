/**
 * Skipjack as a library: ask a server, run tasks with functions of your own, or do both over the database
 * without a server. Names in JSON are snake_case, everything else is camelCase; `…Ms` are milliseconds.
 *
 * @module
 */

/**
 * The HTTP API as a Hono app, to mount in a server of your own.
 *
 * @example
 * import { createApi, Engine } from 'skipjack';
 *
 * const engine = new Engine({ url: process.env.DATABASE_URL });
 * const api = createApi(engine);
 * const response = await api.request('http://localhost/health');
 * console.log(response.status); // 200
 * await engine.close();
 */
export { type ApiOptions, createApi } from './api/api.ts';
/**
 * The HTTP API as a request handler of `node:http`, and so as middleware of Express, under any prefix.
 *
 * @example
 * import express from 'express';
 * import { createApi, Engine, toNodeHandler } from 'skipjack';
 *
 * const engine = new Engine({ url: process.env.DATABASE_URL });
 * const app = express().use('/engine', toNodeHandler(createApi(engine)));
 * const server = app.listen(0);
 * const response = await fetch(`http://127.0.0.1:${server.address().port}/engine/health`);
 * console.log(response.status); // 200
 * server.close();
 * await engine.close();
 */
export { type NodeHandler, toNodeHandler } from './api/node-handler.ts';
/**
 * The HTTP API on a port; 0 takes a free one. Without API keys only on loopback.
 *
 * @throws SkipjackError `usage` for an address that others reach when there are no keys, or that is taken.
 *
 * @example
 * import { createClient, Engine, startServer } from 'skipjack';
 *
 * const engine = new Engine({ url: process.env.DATABASE_URL });
 * const server = await startServer(engine, { port: 0 });
 * const health = await createClient({ url: server.url }).checkHealth();
 * console.log(health.status); // ok
 * await server.close();
 * await engine.close();
 */
export { type RunningServer, type ServerOptions, startServer } from './api/server.ts';
/**
 * A client of the HTTP API, over `fetch` alone.
 *
 * What the server refuses is thrown as a {@link SkipjackError} with its code; a server that does not answer as
 * `server_unreachable`. Nothing is repeated by itself: give tasks and processes an idempotency key to be able to ask
 * again.
 *
 * @example
 * import { createClient } from 'skipjack';
 *
 * const client = createClient({ url: 'http://127.0.0.1:3000', apiKey: process.env.SKIPJACK_API_KEY });
 * const task = await client.enqueue({ command: 'echo', args: ['hello', 'world'] }, { waitMs: 10_000 });
 * console.log(task.state, task.output); // completed hello world
 *
 * const loan = await client.startProcess({ definition: { tasks: [{ name: 'Open' }] } });
 * const ended = await client.completeTaskByName(loan.id, 'Open', { output: { amount: 1000 } });
 * console.log(ended.state, ended.output.Open.amount); // completed 1000
 */
export {
  type CallOptions,
  type ClaimOptions,
  type Client,
  createClient,
  type DefinitionInput,
  type Held,
  type MoveOptions,
  type ProcessStart,
} from './client/client.ts';
export type {
  FollowedLine,
  FollowOptions,
  LogAppended,
  LogClient,
  LogEnd,
  LogFilter,
  LogLineView,
  LogPage,
  SaidLine,
} from './client/logs.ts';
export type { Connection } from './client/request.ts';
/**
 * A worker's tasks over HTTP, where no database is reached.
 *
 * Every call is repeated while the server is away, until `signal` is aborted: abort it after `worker.stop()`.
 *
 * @example
 * import { createHttpTaskSource } from 'skipjack';
 *
 * const ended = new AbortController();
 * const source = createHttpTaskSource({ url: 'http://127.0.0.1:3000', signal: ended.signal });
 * const tasks = await source.claim({ queues: ['nobody-writes-here'], limit: 1, worker: 'me', leaseMs: 30_000, waitMs: 0 });
 * console.log(tasks.length); // 0
 */
export { createHttpTaskSource, type HttpTaskSourceOptions } from './client/task-source.ts';
export type * from './client/views.ts';
/**
 * An error that people are meant to see: a stable `code`, a sentence that says what to do, `problems` that point
 * into what was sent, and `extra` members such as the holder of a lease.
 *
 * @example
 * import { createClient, SkipjackError } from 'skipjack';
 *
 * try {
 *   await createClient({ url: 'http://127.0.0.1:3000' }).getTask('0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60');
 * } catch (error) {
 *   console.log(error instanceof SkipjackError, error.code); // true not_found
 * }
 */
export { type ErrorCode, errorCatalogue, type Problem, SkipjackError } from './core/errors.ts';
export type { Json } from './core/json.ts';
export type { InputRule, Plan, PlannedTask } from './core/plan.ts';
export type { ProcessState } from './core/process.ts';
export type { SecretPart, SecretText } from './core/secret-text.ts';
export type {
  CommandSpec,
  ContainerPart,
  ContainerSpec,
  HandlerSpec,
  Limits,
  Mount,
  NamedPart,
  Probe,
  ScriptSpec,
  Sidecar,
  Spec,
} from './core/spec.ts';
export type { NewTask, RetryOn, RetryPolicy, TaskError, TaskState, VisibleTaskState } from './core/task.ts';
/**
 * Checks one task, in the words of `POST /v1/tasks`, and fills in what it leaves out.
 *
 * @throws SkipjackError `invalid_request` with a pointer to each problem; `misplaced_expression`.
 *
 * @example
 * import { parseTaskInput } from 'skipjack';
 *
 * console.log(parseTaskInput({ command: 'echo', args: ['hello'] }).queue); // default
 */
export { parseTaskInput, type TaskInput } from './core/task-input.ts';
export type * from './core/task-source.ts';
/**
 * Connections to a migrated Postgres: a pool, and one connection that listens. `close()` it last.
 *
 * @example
 * import { openDatabase } from 'skipjack';
 *
 * const db = openDatabase({ url: process.env.DATABASE_URL, poolSize: 5 });
 * const { rows } = await db.pool.query('select ready from skipjack.queue_depth where queue = $1', ['default']);
 * console.log(rows.length <= 1); // true
 * await db.close();
 */
export { type Database, type DatabaseOptions, openDatabase } from './database/connection.ts';
/**
 * Brings the schema `skipjack` of a database to this version's; safe to call by many at once.
 *
 * @throws SkipjackError `schema_outdated` when a newer or another build has migrated it.
 *
 * @example
 * import { migrateDatabase } from 'skipjack';
 *
 * await migrateDatabase(process.env.DATABASE_URL);
 * const again = await migrateDatabase(process.env.DATABASE_URL);
 * console.log(again.applied); // 0
 */
export { migrateDatabase } from './database/migrate.ts';
/**
 * What is wrong with a definition, as people read it in a terminal: its place, the line, a caret, what may have been
 * meant. Control characters are made harmless.
 *
 * @example
 * import { formatProblem, parseDefinition } from 'skipjack';
 *
 * const { problems } = parseDefinition('tasks: [{ name: Open }, { name: Review, needs: [Opne] }]');
 * const lines = formatProblem(problems[0], { file: 'loan.yaml' }).split('\n');
 * console.log(lines[0]); // loan.yaml:1:49: there is no task "Opne" (unknown_need)
 * console.log(lines.at(-1).trim()); // did you mean "Open"?
 */
export { formatProblem } from './definition/format-problem.ts';
/**
 * Reads a definition, YAML 1.2 or JSON: its plan, or everything that is wrong with it, each with line and column.
 *
 * Nothing is thrown, and no database is asked; texts of up to 2 MiB are taken.
 *
 * @example
 * import { parseDefinition } from 'skipjack';
 *
 * const parsed = parseDefinition('tasks: [{ name: Open }, { name: Review, needs: [Open] }]');
 * console.log(parsed.kind, parsed.plan.tasks.length); // valid 2
 */
export { type ParsedDefinition, parseDefinition } from './definition/parse-definition.ts';
export type { DefinitionProblem } from './definition/problem.ts';
export type { PlacedReference } from './definition/referred.ts';
export type { DefinitionSource } from './engine/check-definition.ts';
export type { GivenError } from './engine/check-outcome.ts';
export type { DefinitionDiff } from './engine/diff-definition.ts';
/**
 * Definitions and processes, in your own OS process: publish, start, and do what TunaCorn calls working with tasks.
 *
 * It keeps no state and there may be many of it. Workers run what tasks run; tasks with nothing to run are completed
 * or failed by their names. Some OS process must run the upkeep: a server does, and so can you.
 *
 * To start a process inside a transaction of your own, call the SQL function `skipjack.start_process(name, input)`
 * in it.
 *
 * @example
 * import { Engine } from 'skipjack';
 *
 * const engine = new Engine({ url: process.env.DATABASE_URL });
 * await engine.publish({ source: 'name: loan\ntasks: [{ name: Open }, { name: Review, needs: [Open] }]' });
 *
 * const loan = await engine.startProcess('loan', { input: { amount: 1000 }, idempotencyKey: 'loan 4711' });
 * await loan.complete('Open', { applicant: 'Ann' });
 * const [task] = await loan.getActiveTasks();
 * console.log(task.name, task.attributes.applicant, task.attributes.amount); // Review Ann 1000
 *
 * await loan.complete('Review', { score: 700 });
 * console.log((await loan.read()).state); // completed
 * await engine.close();
 */
export { Engine, type EngineOptions, type StartOptions, type ToStart } from './engine/engine.ts';
export type { ActiveTask, ProcessHandle } from './engine/process-handle.ts';
export type { DefinitionSummary } from './engine/read-definitions.ts';
export type { ProcessView } from './engine/read-processes.ts';
export type { EventToSend, SentEvent } from './engine/send-event.ts';
/**
 * Thinks about processes, until `stop()`: conditions, items, sub-processes, times, events, ends. Whoever runs the
 * upkeep runs this too; a server, `dev`, `run` and a worker over the database do. Any number may.
 *
 * @example
 * import { Engine, startThinking } from 'skipjack';
 *
 * const engine = new Engine({ url: process.env.DATABASE_URL });
 * const thinking = startThinking(engine.queue, { onError: (error) => console.error(error) });
 * const nap = await engine.startProcess({ source: 'tasks: [{ name: Nap, sleep: 10ms }]\noutput: rested' });
 * const { state, output } = await nap.waitForEnd({ waitMs: 10_000 });
 * console.log(state, output); // completed rested
 * await thinking.stop();
 * await engine.close();
 */
export {
  startThinking,
  type Thinking,
  type ThinkingOptions,
} from './engine/thinking/start-thinking.ts';
/**
 * Figures for Prometheus: counters and histograms of what `queue` has settled since, and the live state of the
 * database. `serveMetrics` puts them on a port; a server has them at `/metrics` by itself.
 *
 * @example
 * import { createMetrics, openDatabase, openQueue, serveMetrics } from 'skipjack';
 *
 * const db = openDatabase({ url: process.env.DATABASE_URL });
 * const queue = openQueue(db);
 * const metrics = createMetrics(queue);
 * console.log(/^skipjack_workers_live \d+$/m.test(await metrics.scrape())); // true
 * metrics.close();
 * await queue.close();
 * await db.close();
 */
export { createMetrics, type Metrics } from './metrics/metrics.ts';
/**
 * Metrics on a port of their own, on 127.0.0.1 unless `host` says otherwise.
 *
 * @example
 * import { createMetrics, openDatabase, openQueue, serveMetrics } from 'skipjack';
 *
 * const db = openDatabase({ url: process.env.DATABASE_URL });
 * const queue = openQueue(db);
 * const metrics = createMetrics(queue);
 * const server = await serveMetrics({ metrics, port: 0 });
 * const answer = await fetch(new URL('/metrics', server.url));
 * console.log(answer.status); // 200
 * await server.close();
 * metrics.close();
 * await queue.close();
 * await db.close();
 */
export { type MetricsServer, serveMetrics } from './metrics/serve.ts';
/**
 * The queue, in your own OS process: enqueues of many callers travel together, so one costs little.
 *
 * To enqueue inside a transaction of your own, call the SQL function `skipjack.enqueue(jsonb)` in it.
 *
 * @example
 * import { openDatabase, openQueue, parseTaskInput } from 'skipjack';
 *
 * const db = openDatabase({ url: process.env.DATABASE_URL });
 * const queue = openQueue(db);
 * const order = { handler: 'ship', input: { order: 7 }, idempotency_key: 'ship order 7' };
 * const first = await queue.enqueue(parseTaskInput(order));
 * const second = await queue.enqueue(parseTaskInput(order));
 * console.log(first.kind, second.kind, first.id === second.id); // created existing true
 * await queue.close();
 * await db.close();
 */
export { openQueue, type Queue, type QueueOptions } from './queue/queue.ts';
/**
 * A worker's tasks straight from the database.
 *
 * Every call is repeated while the database is away, until `signal` is aborted. Some OS process must run the
 * upkeep: a server does, and so can you.
 *
 * @example
 * import { createDatabaseTaskSource, createWorker, openDatabase, openQueue, parseTaskInput, startUpkeep } from 'skipjack';
 *
 * const db = openDatabase({ url: process.env.DATABASE_URL });
 * const queue = openQueue(db);
 * const upkeep = startUpkeep(db);
 * const ended = new AbortController();
 * const source = createDatabaseTaskSource(queue, { signal: ended.signal });
 * const worker = createWorker({ source, handlers: { double: ({ n }) => n * 2 } });
 * const output = new Promise((resolve) => worker.on('attempt.ended', (attempt) => resolve(attempt.output)));
 * worker.start();
 *
 * await queue.enqueue(parseTaskInput({ handler: 'double', input: { n: 21 } }));
 * console.log(await output); // 42
 *
 * await worker.stop();
 * ended.abort();
 * await upkeep.stop();
 * await queue.close();
 * await db.close();
 */
export { createDatabaseTaskSource } from './queue/task-source.ts';
/**
 * Takes back expired claims and forgets workers that are gone, every second or so, until `stop()`.
 *
 * @example
 * import { openDatabase, startUpkeep } from 'skipjack';
 *
 * const db = openDatabase({ url: process.env.DATABASE_URL });
 * const upkeep = startUpkeep(db, { onError: (error) => console.error(error) });
 * await upkeep.stop();
 * await db.close();
 */
export { startUpkeep, type Upkeep, type UpkeepOptions } from './queue/upkeep.ts';
export type { AttemptEnded } from './worker/attempt-ended.ts';
export type { WorkerEvents } from './worker/events.ts';
/**
 * The container runtime that answers here, docker or podman, or the one that is named; null if there is none. A
 * worker that is given it runs tasks with an `image`, and serves the queue `containers`.
 *
 * @example
 * import { findContainerRuntime } from 'skipjack';
 *
 * const containerRuntime = await findContainerRuntime(null); // for createWorker({ containerRuntime, … })
 * console.log(containerRuntime === null || ['docker', 'podman'].includes(containerRuntime.kind)); // true
 */
export {
  type ContainerRuntime,
  findRuntime as findContainerRuntime,
} from './worker/executors/container/runtime.ts';
/**
 * A way to run attempts, in place of a built-in one: `createWorker({ executors })` takes one for each type of task.
 *
 * It ends soon after its `signal` was aborted, says to `log` what the attempt says, and answers how it ended; a throw
 * is a failure too.
 *
 * @example
 * import { createClient, createHttpTaskSource, createWorker } from 'skipjack';
 *
 * const url = 'http://127.0.0.1:3000';
 * const ended = new AbortController();
 * const command = async ({ spec }, { log, signal }) => {
 *   log.say(`would run ${spec.command}`);
 *   return signal.aborted ? { kind: 'stopped' } : { kind: 'completed', output: spec.args.length };
 * };
 * const source = createHttpTaskSource({ url, signal: ended.signal });
 * const worker = createWorker({ source, queues: ['dry'], executors: { command } });
 * worker.start();
 *
 * const dry = { command: 'rm', args: ['-rf', '/'], queue: 'dry' };
 * const task = await createClient({ url }).enqueue(dry, { waitMs: 10_000 });
 * console.log(task.output); // 2
 *
 * await worker.stop();
 * ended.abort();
 */
export type { Ending, ExecutionContext, Executor, RunnableTask, Usage } from './worker/executors/executor.ts';
export type { Executors } from './worker/executors/pick.ts';
/**
 * Thrown by a handler when trying again is no use: the task fails, whatever its retry policy says.
 *
 * @example
 * import { FinalError } from 'skipjack';
 *
 * const handlers = {
 *   pay: async ({ account }) => {
 *     if (account.closed) throw new FinalError('the account is closed', { code: 'account_closed' });
 *   },
 * };
 * const refused = await handlers.pay({ account: { closed: true } }).catch((error) => error);
 * console.log(refused.code); // account_closed
 */
export { FinalError, type Handler, type TaskContext } from './worker/handler.ts';
export type { AttemptLog, LogStream } from './worker/logs/attempt-log.ts';
export type { WorkerOptions } from './worker/options.ts';
/**
 * What a worker allows its tasks when nothing else is said: any command, containers without mounts.
 *
 * @example
 * import { createDatabaseTaskSource, createWorker, defaultPolicy, openDatabase, openQueue } from 'skipjack';
 *
 * const db = openDatabase({ url: process.env.DATABASE_URL });
 * const queue = openQueue(db);
 * const source = createDatabaseTaskSource(queue, { signal: new AbortController().signal });
 * const commands = { ...defaultPolicy.commands, allow: ['git', '/usr/bin/ffmpeg'], scripts: false };
 * const worker = createWorker({ source, policy: { ...defaultPolicy, commands } });
 * console.log(worker.queues); // default
 * await queue.close();
 * await db.close();
 */
export {
  type CommandPolicy,
  type ContainerPolicy,
  defaultPolicy,
  type WorkerPolicy,
} from './worker/policy.ts';
export type { Mask, MaskedStream } from './worker/secrets/mask.ts';
/**
 * The reason with which a handler's `signal` is aborted; its `reason` is `cancelled`, `timed_out`, `lease_lost`
 * or `shutdown`.
 *
 * @example
 * import { AttemptStopped } from 'skipjack';
 *
 * const waitForStop = (_input, { signal }) =>
 *   new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
 *
 * const stopping = new AbortController();
 * const stopped = waitForStop({}, stopping).catch((error) => error);
 * stopping.abort(new AttemptStopped('timed_out'));
 * console.log((await stopped).reason); // timed_out
 */
export { AttemptStopped, type StopReason } from './worker/stop-reason.ts';
/**
 * A worker: claims tasks from a source and runs commands, scripts, and handlers of your own.
 *
 * It does nothing before `start()`. `stop()` drains it: what has not started goes back, what runs is waited for
 * up to `graceMs` (30 s). @throws RangeError for options that it cannot work with.
 *
 * @example
 * import { createClient, createHttpTaskSource, createWorker } from 'skipjack';
 *
 * const url = 'http://127.0.0.1:3000';
 * const ended = new AbortController();
 * const source = createHttpTaskSource({ url, signal: ended.signal });
 * const worker = createWorker({ source, handlers: { greet: async ({ name }) => `hello ${name}` }, slots: 4 });
 * worker.start();
 *
 * const task = await createClient({ url }).enqueue({ handler: 'greet', input: { name: 'Ada' } }, { waitMs: 10_000 });
 * console.log(task.output); // hello Ada
 *
 * await worker.stop();
 * ended.abort();
 */
export { createWorker, type Worker, type WorkerStats } from './worker/worker.ts';
