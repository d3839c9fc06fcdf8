import { Command } from 'commander';
import type { TaskInput } from '../../core/task-input.ts';
import { configuredClient } from '../client.ts';
import {
  outputOption,
  pairArgument,
  parseJson,
  serverOption,
  usage,
  waitOption,
  wholeNumberArgument,
  withExamples,
} from '../options.ts';
import { type Format, print } from '../print.ts';
import { exitCodeOf, formatTask, remarkEnd } from '../show-task.ts';

interface EnqueueFlags {
  queue?: string;
  name?: string;
  run?: string;
  image?: string;
  handler?: string;
  input?: string;
  stdin?: string;
  env?: Record<string, string>;
  priority?: number;
  delay?: string;
  runAt?: string;
  retry?: number;
  retryBackoff?: NonNullable<TaskInput['retry']>['backoff'];
  retryDelay?: string;
  retryMaxDelay?: string;
  retryOn?: string;
  retryWithin?: string;
  timeout?: string;
  label?: Record<string, string>;
  idempotencyKey?: string;
  wait?: number;
  output: Format;
}

export function enqueueCommand(): Command {
  const command = new Command('enqueue')
    .description('Put one task on a queue: a command, a script, a handler, or work for whoever claims it')
    .summary('put one task on a queue')
    .argument('[command...]', 'an executable and its arguments, after --')
    .option('--run <script>', 'a shell script instead of a command')
    .option('--image <name>', "run in a container of this image: the command's words become its cmd")
    .option('--handler <name>', 'a function that a worker registers under this name')
    .option(
      '--queue <name>',
      'the queue (default; with an image containers; for a handler its name; people when there is nothing to run)',
    )
    .option('--name <name>', 'what people call it')
    .option('--input <json>', 'its input')
    .option('--stdin <text>', 'what the program reads from its standard input')
    .option(
      '--env <name=value>',
      'a variable for the command or script; repeat for more',
      pairArgument('--env'),
    )
    .option(
      '--priority <n>',
      '0 to 9, higher first (5)',
      wholeNumberArgument('--priority', { min: 0, max: 9 }),
    )
    .option('--delay <duration>', 'not before so long from now')
    .option('--run-at <time>', 'not before this time, as 2026-01-31T12:00:00Z')
    .option('--retry <n>', 'attempts in all (1)', wholeNumberArgument('--retry', { min: 1, max: 1_000 }))
    .option('--retry-backoff <kind>', 'fixed, linear or exponential (exponential)')
    .option('--retry-delay <duration>', 'before the second attempt (1s)')
    .option('--retry-max-delay <duration>', 'between attempts at most (1h)')
    .option(
      '--retry-on <codes>',
      'only after these failures: exit codes and codes of errors, as 75,timed_out (all)',
    )
    .option('--retry-within <duration>', 'from the start of the first attempt on; no retry is due later')
    .option('--timeout <duration>', 'how long one attempt may take')
    .option('--label <name=value>', 'to find it by; repeat for more', pairArgument('--label'))
    .option('--idempotency-key <key>', 'the same key and task: the same answer, not a second task')
    .addOption(waitOption('wait so long for its end, and print that'))
    .addOption(serverOption())
    .addOption(outputOption())
    .action(enqueue);
  command.addHelpText(
    'after',
    '\nWithout --wait it prints the id. With it the exit code is 0 completed, 8 failed, 9 cancelled, 124 not ended.',
  );
  return withExamples(command, [
    '$ skipjack enqueue --wait 10s -- echo hello world',
    "$ skipjack enqueue --queue nightly --delay 1h --retry 5 --run 'pg_dump app | gzip > /backup/app.gz'",
    `$ skipjack enqueue --handler send-email --input '{"to":"ada@example.com"}'`,
    '$ skipjack enqueue --image busybox --wait 1m -- echo -n hello world',
    '$ skipjack enqueue --queue people --name "review the invoice"',
  ]);
}

async function enqueue(words: string[], flags: EnqueueFlags): Promise<void> {
  const client = configuredClient({ ...flags });
  let task = await client.enqueue(toTask(words, flags));
  if (flags.wait === undefined) {
    await print(task, flags.output, () => task.id);
    return;
  }
  task = await client.waitForTask(task.id, { waitMs: flags.wait });
  await print(task, flags.output, () => formatTask(task));
  remarkEnd('task', task, flags.wait);
  process.exitCode = exitCodeOf(task);
}

function toTask(words: string[], flags: EnqueueFlags): TaskInput {
  const { run, image, handler, stdin, queue, name, env, priority, delay, timeout } = flags;
  const [command, ...args] = words;
  const works = [
    command !== undefined && (image === undefined ? 'a command' : 'the words of a command'),
    run && '--run',
    handler && '--handler',
    image && words.length === 0 && !run && '--image',
  ].filter(Boolean);
  if (works.length > 1) throw usage(`A task runs one thing, not ${works.join(' and ')}.`);
  if (image !== undefined && handler !== undefined)
    throw usage('A handler runs in its worker, not in a container.');
  if (works.length === 0 && name === undefined) {
    throw usage(
      'There is nothing to enqueue: give a command after --, --run, --image, --handler, or a --name for whoever claims it. For example: skipjack enqueue -- echo hello',
    );
  }
  const retry = {
    attempts: flags.retry,
    backoff: flags.retryBackoff,
    delay: flags.retryDelay,
    max_delay: flags.retryMaxDelay,
    on: flags.retryOn === undefined ? undefined : toRetryOn(flags.retryOn),
    within: flags.retryWithin,
  };
  const given = {
    ...(image === undefined
      ? command !== undefined && { command, args }
      : words.length > 0 && { cmd: words }),
    image,
    run,
    handler,
    stdin,
    queue,
    name,
    env,
    priority,
    delay,
    timeout,
    run_at: flags.runAt,
    labels: flags.label,
    idempotency_key: flags.idempotencyKey,
    input: flags.input === undefined ? undefined : parseJson('--input', flags.input),
    retry: Object.values(retry).some((value) => value !== undefined) ? retry : undefined,
  };
  // JSON leaves out what was not said; the server checks the rest and says what is wrong with it.
  return JSON.parse(JSON.stringify(given)) as TaskInput;
}

/** Whole numbers are exit codes, everything else is the code of an error. */
function toRetryOn(text: string): NonNullable<TaskInput['retry']>['on'] {
  const words = text.split(',').map((word) => word.trim());
  const [exitCodes, codes] = [true, false].map((isNumber) =>
    words.filter((word) => /^\d+$/.test(word) === isNumber),
  ) as [string[], string[]];
  return {
    ...(exitCodes.length > 0 && { exit_codes: exitCodes.map(Number) }),
    ...(codes.length > 0 && { codes }),
  };
}
