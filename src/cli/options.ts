/** Options that several commands share, so that they read and mean the same everywhere. */
import { type Command, Option } from 'commander';
import { parseDuration } from '../core/durations.ts';
import { SkipjackError } from '../core/errors.ts';
import type { Json } from '../core/json.ts';

export function outputOption(description = 'how data is written to stdout'): Option {
  return new Option('-o, --output <format>', description).choices(['text', 'json']).default('text');
}

export function serverOption(): Option {
  return new Option(
    '--server <url>',
    'the server to ask (SKIPJACK_URL; http://127.0.0.1:3000), with the key in SKIPJACK_API_KEY',
  );
}

export function databaseUrlOption(): Option {
  return new Option('--database-url <url>', 'the Postgres to use (SKIPJACK_DATABASE_URL, DATABASE_URL)');
}

export function dataOption(): Option {
  return new Option('--data <dir>', 'where the embedded Postgres keeps its data (SKIPJACK_DATA; .skipjack)');
}

export function queuesOption(byDefault = 'default'): Option {
  return new Option('--queues <names>', `queues to serve, comma separated (SKIPJACK_QUEUES; ${byDefault})`);
}

export function concurrencyOption(): Option {
  return new Option('--concurrency <n>', 'attempts at the same time (SKIPJACK_CONCURRENCY; 10)');
}

export function containerRuntimeOption(): Option {
  return new Option(
    '--container-runtime <name>',
    'docker, podman or a path (SKIPJACK_CONTAINER_RUNTIME; the first that answers)',
  );
}

export function byOption(): Option {
  return new Option('--by <who>', 'who says so, for the record');
}

export function waitOption(description: string): Option {
  return new Option('--wait <duration>', description).argParser(durationArgument('--wait'));
}

/** Checks a duration and hands it on in milliseconds. */
export function durationArgument(flag: string) {
  return (text: string): number => {
    const ms = parseDuration(text);
    if (ms === null) throw usage(`${flag} "${text}" is not a duration. For example: ${flag} 30s`);
    return ms;
  };
}

export function wholeNumberArgument(flag: string, { min, max }: { min: number; max: number }) {
  return (text: string): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw usage(`${flag} "${text}" is not a whole number from ${min} to ${max}.`);
  };
}

/** Gathers `--label a=b --label c=d` into one object. */
export function pairArgument(flag: string) {
  return (text: string, known: Record<string, string> = {}): Record<string, string> => {
    const at = text.indexOf('=');
    if (at < 1) throw usage(`${flag} "${text}" has no name and value. For example: ${flag} name=value`);
    return { ...known, [text.slice(0, at)]: text.slice(at + 1) };
  };
}

/**
 * `example`: how text is handed over.
 *
 * @throws SkipjackError `invalid_json`
 */
export function parseJson(flag: string, text: string, example = `${flag} '"hello"'`): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    throw new SkipjackError(
      'invalid_json',
      `${flag} is not JSON: ${(error as Error).message}. Text needs its quotes: ${example}.`,
      { cause: error },
    );
  }
}

export function usage(message: string): SkipjackError {
  return new SkipjackError('usage', message);
}

/** The end of a command's help. */
export function withExamples(command: Command, examples: string[]): Command {
  return command.addHelpText('after', `\nExamples:\n${examples.map((line) => `  ${line}`).join('\n')}`);
}
