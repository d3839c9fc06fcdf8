import { Command } from 'commander';
import { cancelCommand } from './commands/cancel.ts';
import { completeCommand } from './commands/complete.ts';
import { deadLettersCommand } from './commands/dead-letters.ts';
import { definitionsCommand } from './commands/definitions.ts';
import { devCommand } from './commands/dev.ts';
import { doctorCommand } from './commands/doctor.ts';
import { enqueueCommand } from './commands/enqueue.ts';
import { eventsCommand } from './commands/events.ts';
import { explainCommand } from './commands/explain.ts';
import { failCommand } from './commands/fail.ts';
import { getCommand } from './commands/get.ts';
import { laterCommands } from './commands/later.ts';
import { listCommand } from './commands/list.ts';
import { logsCommand } from './commands/logs.ts';
import { migrateCommand } from './commands/migrate.ts';
import { pauseCommand } from './commands/pause.ts';
import { publishCommand } from './commands/publish.ts';
import { queuesCommand } from './commands/queues.ts';
import { resumeCommand } from './commands/resume.ts';
import { retryCommand } from './commands/retry.ts';
import { runCommand } from './commands/run.ts';
import { schemaCommand } from './commands/schema.ts';
import { sendCommand } from './commands/send.ts';
import { serverCommand } from './commands/server.ts';
import { startCommand } from './commands/start.ts';
import { statsCommand } from './commands/stats.ts';
import { validateCommand } from './commands/validate.ts';
import { workerCommand } from './commands/worker.ts';
import { workersCommand } from './commands/workers.ts';
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

function groups(): Record<string, Command[]> {
  return {
    'Run:': [devCommand(), runCommand(), serverCommand(), workerCommand()],
    'Definitions:': [
      validateCommand(),
      explainCommand(),
      schemaCommand(),
      publishCommand(),
      definitionsCommand(),
    ],
    'Processes:': [
      startCommand(),
      completeCommand(),
      failCommand(),
      pauseCommand(),
      resumeCommand(),
      retryCommand(),
      eventsCommand(),
      sendCommand(),
    ],
    'Tasks, and both:': [
      enqueueCommand(),
      getCommand(),
      logsCommand(),
      listCommand(),
      cancelCommand(),
      deadLettersCommand(),
    ],
    'Watch a server:': [queuesCommand(), workersCommand(), statsCommand()],
    'Look after the database:': [migrateCommand(), doctorCommand()],
  };
}

/** The whole command line. It throws CommanderErrors instead of exiting. */
export function createProgram(): Command {
  const program = new Command('skipjack')
    .description(
      'Run tasks, and processes made of them: a task orchestration engine whose only server is Postgres',
    )
    .version(version)
    // Or its --version would be seen in "start NAME --version 2".
    .enablePositionalOptions()
    .helpCommand(false);
  for (const [title, commands] of Object.entries(groups())) {
    program.commandsGroup(title);
    for (const command of commands) program.addCommand(command);
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
