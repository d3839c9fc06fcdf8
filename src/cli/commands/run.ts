import { basename } from 'node:path';
import { Command } from 'commander';
import type { Logger } from 'pino';
import { type Config, type Flags, readConfig } from '../../config.ts';
import { SkipjackError } from '../../core/errors.ts';
import type { Plan } from '../../core/plan.ts';
import { planRun } from '../../engine/dry-run.ts';
import type { Engine } from '../../engine/engine.ts';
import type { ProcessView } from '../../engine/read-processes.ts';
import { createDatabaseTaskSource } from '../../queue/task-source.ts';
import { attachEngine } from '../attach-engine.ts';
import { attachQueue } from '../attach-queue.ts';
import { attachServer } from '../attach-server.ts';
import { attachWorker } from '../attach-worker.ts';
import { explainDatabaseFault } from '../database.ts';
import { inFile, readDefinitionFile } from '../definition-file.ts';
import { formatElapsed } from '../elapsed.ts';
import { keepUp } from '../keep-up.ts';
import { type Lifetime, live } from '../lifetime.ts';
import { createLog, createLogAbove } from '../log.ts';
import {
  concurrencyOption,
  containerRuntimeOption,
  databaseUrlOption,
  dataOption,
  durationArgument,
  outputOption,
  queuesOption,
  usage,
  withExamples,
} from '../options.ts';
import { type PreparedWorker, prepareWorker } from '../prepare-worker.ts';
import { type Format, print, printData, remark } from '../print.ts';
import { inputOption, readInput } from '../process-input.ts';
import { type ProvidedDatabase, provideDatabase } from '../provide-database.ts';
import { explainFailure } from '../run/explain-failure.ts';
import { followProcess } from '../run/follow.ts';
import { createLiveView } from '../run/live-view.ts';
import { createPlainView } from '../run/plain-view.ts';
import { beginProgress } from '../run/progress.ts';
import { readFailures } from '../run/read-failures.ts';
import { showPlan } from '../run/show-plan.ts';

/** Somebody waits for the end: what other processes left to our worker goes back soon. */
const graceMs = 2_000;
const killGraceMs = 1_000;
const closeMs = 1_000;
const endMsMax = 9_500;

const interrupted = 130;

interface RunFlags extends Flags {
  input?: string[];
  dryRun?: boolean;
  waitMax?: number;
  output: Format;
}

export function runCommand(): Command {
  const command = new Command('run')
    .description(
      'Run one process to its end: with Postgres, server and worker in this OS process. Shows its tasks on stderr, and prints its output, one JSON value, on stdout',
    )
    .summary('run one process to its end')
    .argument('<file>', 'its definition, in YAML or JSON; - reads stdin')
    .addOption(inputOption())
    .option('--dry-run', 'only show what would be done, in order; needs no database')
    .option(
      '--wait-max <duration>',
      'leave it after so long, with exit code 124',
      durationArgument('--wait-max'),
    )
    .addOption(dataOption())
    .addOption(databaseUrlOption())
    .option('--policy <file>', 'what tasks may do here, in YAML (SKIPJACK_POLICY)')
    .addOption(containerRuntimeOption())
    .addOption(queuesOption('those of its commands'))
    .addOption(concurrencyOption())
    .addOption(outputOption('text: its output as JSON; json: the whole process, or the whole plan'))
    .action(run);
  command.addHelpText(
    'after',
    `
The exit code is 0 when it completed, 8 when it failed, 9 when it was cancelled, 5 for a definition or an input with
problems, 124 when --wait-max was over. Ctrl-C cancels the process: 130. A task for people is shown with the curl that
completes it, one that waits for an event with the curl that sends it. --dry-run checks the definition and the input,
and shows each task with what it waits for and what it runs, expressions as they are written. Beside a running
"skipjack dev" or "skipjack run" on the same --data it uses their Postgres.`,
  );
  return withExamples(command, [
    '$ skipjack run loan.yaml',
    '$ skipjack run loan.yaml --input applicant=Ann --input amount=2500 | jq .',
    '$ skipjack run loan.yaml --input loan.json --wait-max 10m -o json',
    '$ skipjack run loan.yaml --input amount=2500 --dry-run',
  ]);
}

async function run(file: string, flags: RunFlags): Promise<void> {
  const { source, plan } = await readDefinitionFile(file);
  const input = await readInput(flags.input, plan.input);
  if (flags.dryRun) {
    const dryRun = planRun(plan, input);
    await print(dryRun, flags.output, () => showPlan(dryRun));
    return;
  }
  const config = readConfig(flags, { defaults: { graceMs, logLevel: 'warn' } });
  const prepared = await prepareWorker(config);
  requireRuntime(plan, prepared);
  const ownQueues = config.queues ?? queuesToServe(plan, prepared);
  // A terminal that does not know its size has nothing to draw on.
  const { isTTY, columns, rows } = process.stderr;
  const isLive = isTTY && columns > 0 && rows > 0;
  const view = isLive ? createLiveView(process.stderr, { ownQueues }) : createPlainView();
  const log = isLive ? createLogAbove(config.logLevel, view.say) : createLog(config.logLevel);
  let signal: AbortSignal | undefined;
  let isReported = false;

  async function runOn(life: Lifetime, database: ProvidedDatabase): Promise<void> {
    const attached = await attachAll(life, { url: database.url, config, prepared, ownQueues, log });
    if (attached === null) return;
    const { engine, serverUrl } = attached;
    const handle = await engine.startProcess({ source }, { input, awaited: true }).catch((error) => {
      throw notPublishedHere(inFile(error, file));
    });
    const progress = beginProgress(plan, { id: handle.id, name: plan.name ?? nameOf(file) });
    const how = await followProcess(life, {
      db: engine.db,
      handle,
      progress,
      view,
      log,
      ownQueues,
      serverUrl,
      needsKey: config.apiKeys.length > 0,
      waitMaxMs: flags.waitMax,
    });
    view.close();
    const options = {
      how: life.signal.aborted ? 'interrupted' : how,
      engine,
      database,
      flags,
      signal: life.signal,
    } as const;
    await report(await handle.read(), options);
    isReported = true;
  }

  try {
    await live({ log, endMsMax: endMsMax + config.graceMs }, async (life) => {
      signal = life.signal;
      const database = await provideDatabase(life, { config, flags, log });
      await runOn(life, database).catch((error: unknown) => {
        throw explainDatabaseFault(error, database.url);
      });
    });
  } finally {
    view.close();
    if (signal?.aborted && !isReported) process.exitCode = interrupted;
  }
}

function nameOf(file: string): string {
  return file === '-' ? 'the process' : basename(file);
}

/** Nobody else may be there to run them, and the process would wait for ever. */
function requireRuntime({ tasks }: Plan, { containerRuntime }: PreparedWorker): void {
  const task = tasks.find(({ spec }) => spec?.type === 'container');
  if (task === undefined || containerRuntime !== null) return;
  throw usage(
    `The task "${task.name}" runs in a container, and neither docker nor podman answers here. Start one, or name it: --container-runtime /usr/bin/podman.`,
  );
}

/** The queues of what its worker can run. What is for others stays for them. */
function queuesToServe({ tasks, on_failure }: Plan, { containerRuntime }: PreparedWorker): string[] {
  const own = tasks.filter(({ spec }) => spec !== null && spec.type !== 'handler').map(({ queue }) => queue);
  // What other definitions run is not known here: the queues on which it waits unless they say otherwise.
  const isAlone = on_failure === undefined && tasks.every(({ process }) => process === undefined);
  const others = isAlone ? [] : ['default', ...(containerRuntime === null ? [] : ['containers'])];
  const queues = [...new Set([...own, ...others])].sort();
  return queues.length === 0 ? ['default'] : queues;
}

/** All that `dev` has, but for the address: its server is for the curl that is shown, and in nobody's way. */
async function attachAll(
  life: Lifetime,
  {
    url,
    config,
    prepared,
    ownQueues,
    log,
  }: { url: string; config: Config; prepared: PreparedWorker; ownQueues: string[]; log: Logger },
): Promise<{ engine: Engine; serverUrl: string } | null> {
  const queue = await attachQueue(life, { url, config, log, applicationName: 'skipjack run' });
  if (life.signal.aborted) return null;
  const engine = attachEngine(life, queue);
  const address = { ...config, host: '127.0.0.1', port: 0 };
  const serverUrl = await attachServer(life, { engine, config: address, log, closeMs });
  keepUp(life, queue, { log, config });
  const ended = new AbortController();
  life.onEnd('task source', async () => ended.abort());
  const source = createDatabaseTaskSource(queue, { signal: ended.signal });
  const own = { ...config, queues: ownQueues };
  // The attempts are shown by the process that they are of.
  attachWorker(life, { source, config: own, log, prepared, killGraceMs, logsAttempts: false });
  return { engine, serverUrl };
}

interface ReportOptions {
  how: 'ended' | 'left' | 'interrupted';
  engine: Engine;
  database: ProvidedDatabase;
  flags: RunFlags;
  signal: AbortSignal;
}

async function report(view: ProcessView, options: ReportOptions): Promise<void> {
  const { how, flags } = options;
  if (flags.output === 'json') await print(view, 'json', () => '');
  if (how === 'interrupted') {
    process.exitCode = interrupted;
    if (view.finished_at === null)
      remark(`skipjack: the process is ${view.state}. ${whoGoesOn(view, options)}`);
  } else if (how === 'left') {
    remark(
      `skipjack: the process is still ${view.state} after ${formatElapsed(flags.waitMax ?? 0)}. ${whoGoesOn(view, options)}`,
    );
    process.exitCode = 124;
  } else if (view.state === 'completed') {
    const output = JSON.stringify(view.output, null, process.stdout.isTTY ? 2 : 0);
    if (flags.output === 'text') await printData(output);
  } else if (view.state === 'failed') {
    remark(explainFailure(await readFailures(options.engine.db, view.id), view.error));
    await awaitFailureProcess(view, options);
    process.exitCode = 8;
  } else {
    remark('skipjack: the process was cancelled.');
    process.exitCode = 9;
  }
}

/** What it starts must be published where it runs. */
function notPublishedHere(error: unknown): unknown {
  if (!(error instanceof SkipjackError)) return error;
  const { code, message, problems, extra } = error;
  if (!problems.some((problem) => problem.code === 'unknown_definition')) return error;
  const hint =
    'What it starts must be published where it runs: by "skipjack publish FILE", beside a "skipjack dev" on the same --data.';
  return new SkipjackError(code, `${message} ${hint}`, { problems, extra, cause: error });
}

/** What `on_failure` has started goes on here until it has ended, or we are told to stop. */
async function awaitFailureProcess(
  { failure_process_id: id }: ProcessView,
  options: ReportOptions,
): Promise<void> {
  if (id === null) return;
  const { engine, flags, signal } = options;
  remark(`skipjack: after the failure process ${id} was started; waiting for its end.`);
  const view = await engine.process(id).waitForEnd({ waitMs: flags.waitMax ?? Infinity, signal });
  remark(
    view.finished_at === null
      ? `skipjack: it is still ${view.state}. ${whoGoesOn(view, options)}`
      : `skipjack: it is ${view.state}.`,
  );
}

/** What becomes of a process that we leave before its end. */
function whoGoesOn({ id }: ProcessView, { database }: ReportOptions): string {
  return database.data === null
    ? `It goes on only where another server or worker has the database. Its id is ${id}.`
    : `It goes on only while a "skipjack dev" runs on --data ${database.data}. Its id is ${id}.`;
}
