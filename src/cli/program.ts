import { Command } from 'commander';
import { laterCommands } from './commands/later.ts';
import { withExamples } from './options.ts';
import { version } from './version.ts';

const environmentHelp = `
Environment, beside what the commands name:
  DATABASE_URL              the Postgres to use; SKIPJACK_DATABASE_URL wins over it
  SKIPJACK_LISTEN_URL       a direct URL for LISTEN where DATABASE_URL leads to a pooler; off: polling alone
  SKIPJACK_API_KEYS         the keys that a server accepts, comma separated
  SKIPJACK_ALLOWED_HOSTS    Host headers that a server without keys accepts beside loopback's, comma separated
  SKIPJACK_URL              the server that commands ask
  SKIPJACK_API_KEY          the key that they show it
  SKIPJACK_SECRETS_DIR      a folder with a file for each secret of a worker; SKIPJACK_SECRET_NAME holds one itself
  SKIPJACK_LOG_RETENTION    how long the logs of tasks are kept (14d)
  SKIPJACK_EVENT_RETENTION  how long events that were sent are kept (7d)
  SKIPJACK_LOG_LEVEL        fatal, error, warn, info, debug, trace or silent (info)`;

/** Each is loaded by itself: starting takes as long as what is loaded. */
const groups: Record<string, Record<string, () => Promise<Command>>> = {
  'Run:': {
    dev: async () => (await import('./commands/dev.ts')).devCommand(),
    run: async () => (await import('./commands/run.ts')).runCommand(),
    server: async () => (await import('./commands/server.ts')).serverCommand(),
    worker: async () => (await import('./commands/worker.ts')).workerCommand(),
  },
  'Definitions:': {
    validate: async () => (await import('./commands/validate.ts')).validateCommand(),
    explain: async () => (await import('./commands/explain.ts')).explainCommand(),
    schema: async () => (await import('./commands/schema.ts')).schemaCommand(),
    publish: async () => (await import('./commands/publish.ts')).publishCommand(),
    definitions: async () => (await import('./commands/definitions.ts')).definitionsCommand(),
  },
  'Processes:': {
    start: async () => (await import('./commands/start.ts')).startCommand(),
    complete: async () => (await import('./commands/complete.ts')).completeCommand(),
    fail: async () => (await import('./commands/fail.ts')).failCommand(),
    pause: async () => (await import('./commands/pause.ts')).pauseCommand(),
    resume: async () => (await import('./commands/resume.ts')).resumeCommand(),
    retry: async () => (await import('./commands/retry.ts')).retryCommand(),
    events: async () => (await import('./commands/events.ts')).eventsCommand(),
    send: async () => (await import('./commands/send.ts')).sendCommand(),
  },
  'Tasks, and both:': {
    enqueue: async () => (await import('./commands/enqueue.ts')).enqueueCommand(),
    get: async () => (await import('./commands/get.ts')).getCommand(),
    logs: async () => (await import('./commands/logs.ts')).logsCommand(),
    list: async () => (await import('./commands/list.ts')).listCommand(),
    cancel: async () => (await import('./commands/cancel.ts')).cancelCommand(),
    'dead-letters': async () => (await import('./commands/dead-letters.ts')).deadLettersCommand(),
  },
  'Watch a server:': {
    queues: async () => (await import('./commands/queues.ts')).queuesCommand(),
    workers: async () => (await import('./commands/workers.ts')).workersCommand(),
    stats: async () => (await import('./commands/stats.ts')).statsCommand(),
  },
  'Look after the database:': {
    migrate: async () => (await import('./commands/migrate.ts')).migrateCommand(),
    doctor: async () => (await import('./commands/doctor.ts')).doctorCommand(),
  },
};

/** The command line for these arguments; all of it, where they name no command. It throws CommanderErrors instead of exiting. */
export async function createProgram(args: string[] = []): Promise<Command> {
  const program = new Command('skipjack')
    .description(
      'Run tasks, and processes made of them: a task orchestration engine whose only server is Postgres',
    )
    .version(version)
    // Or its --version would be seen in "start NAME --version 2".
    .enablePositionalOptions()
    .helpCommand(false);
  const [wanted = ''] = args;
  const isOne =
    /^(-V|--version)$/.test(wanted) ||
    Object.values(groups).some((commands) => Object.hasOwn(commands, wanted));
  for (const [title, commands] of Object.entries(groups)) {
    program.commandsGroup(title);
    for (const [name, load] of Object.entries(commands))
      if (!isOne || name === wanted) program.addCommand(await load());
  }
  for (const command of laterCommands()) program.addCommand(command, { hidden: true });
  program.addHelpText('after', environmentHelp);
  program.addHelpText(
    'after',
    `
Exit codes: 0 fine, 1 error, 2 usage, 3 not found, 4 conflict, 5 invalid definition or input, 7 server or
database out of reach, 8 the process or task failed, 9 it was cancelled, 124 waited too long, 130 interrupted.`,
  );
  for (const command of withDescendants(program)) {
    command.exitOverride().configureOutput({ outputError: () => {} });
  }
  return withExamples(program, [
    '$ skipjack dev',
    '$ skipjack run loan.yaml',
    '$ skipjack enqueue --wait 10s -- echo hello world',
    '$ skipjack list --state failed',
  ]);
}

function withDescendants(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withDescendants)];
}
