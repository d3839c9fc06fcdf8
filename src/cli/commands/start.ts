import { existsSync } from 'node:fs';
import { Command } from 'commander';
import type { Client } from '../../client/client.ts';
import type { Flags } from '../../config.ts';
import { SkipjackError } from '../../core/errors.ts';
import { configuredClient } from '../client.ts';
import { inFile, readDefinitionFile } from '../definition-file.ts';
import {
  outputOption,
  serverOption,
  usage,
  waitOption,
  wholeNumberArgument,
  withExamples,
} from '../options.ts';
import { type Format, print } from '../print.ts';
import { inputOption, readInput } from '../process-input.ts';
import { showProcess } from './get.ts';

interface StartFlags extends Flags {
  file?: string;
  input?: string[];
  version?: number;
  idempotencyKey?: string;
  wait?: number;
  output: Format;
}

export function startCommand(): Command {
  const command = new Command('start')
    .description('Start a process: of a published definition by its name, or of one in a file')
    .summary('start a process')
    .argument('[name]', 'of a published definition')
    .option('-f, --file <file>', 'a definition in YAML or JSON instead; - reads stdin')
    .addOption(inputOption())
    .option(
      '--version <n>',
      'of the published definition; its newest without',
      wholeNumberArgument('--version', { min: 1, max: 2_147_483_647 }),
    )
    .option('--key, --idempotency-key <key>', 'the same key and request: the same process, not a second one')
    .addOption(waitOption('wait so long for its end, and print that'))
    .addOption(serverOption())
    .addOption(outputOption())
    .action(start);
  command.addHelpText(
    'after',
    '\nWithout --wait it prints the id. With it the exit code is 0 completed, 8 failed, 9 cancelled, 124 not ended.',
  );
  return withExamples(command, [
    '$ skipjack publish loan.yaml && skipjack start loan-application --input applicant=Ann',
    '$ skipjack start loan-application --input loan.json --key "application 4711" --wait 10m',
    '$ skipjack start -f loan.yaml',
  ]);
}

async function start(name: string | undefined, flags: StartFlags): Promise<void> {
  const { file, version, idempotencyKey, wait: waitMs } = flags;
  if ((name === undefined) === (file === undefined)) {
    throw usage('Name a published definition, or give one with -f. For example: skipjack start -f loan.yaml');
  }
  if (file !== undefined && version !== undefined) {
    throw usage('--version is of a published definition, and goes with its name.');
  }
  const client = configuredClient({ ...flags });
  const toStart =
    file === undefined ? await byName(client, name ?? '', flags) : await fromFile(file, flags.input);
  const process = await client.startProcess({ ...toStart, version, idempotencyKey }).catch((error) => {
    throw name === undefined ? inFile(error, file ?? '') : withAdvice(error, name);
  });
  if (waitMs === undefined) {
    await print(process, flags.output, () => process.id);
    return;
  }
  await showProcess(client, await client.waitForProcess(process.id, { waitMs }), { ...flags, wait: waitMs });
}

async function fromFile(file: string, given: string[] | undefined) {
  const { source, plan } = await readDefinitionFile(file);
  return { source, input: await readInput(given, plan.input) };
}

/** The definition is asked for only where its rules say what a value is. */
async function byName(client: Client, name: string, { input: given = [], version }: StartFlags) {
  const rules = given.some((text) => text.includes('='))
    ? await client.getDefinition(name, version === undefined ? {} : { version }).then(
        ({ plan }) => plan.input as Parameters<typeof readInput>[1],
        (error) => {
          throw withAdvice(error, name);
        },
      )
    : null;
  return { definition: name, input: await readInput(given, rules) };
}

/** What there is no definition of may be a file, as in `skipjack start loan.yaml`, or was not published yet. */
function withAdvice(error: unknown, name: string): unknown {
  if (!(error instanceof SkipjackError) || error.code !== 'not_found') return error;
  const advice = existsSync(name) ? `skipjack start -f ${name}` : 'skipjack publish FILE';
  return new SkipjackError('not_found', `${error.message} Perhaps you want: ${advice}`, { cause: error });
}
