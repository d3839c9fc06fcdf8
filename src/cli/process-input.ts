/** `--input` of the commands that start processes: a file, JSON, or names with values, as often as one likes. */
import { readFile } from 'node:fs/promises';
import { Option } from 'commander';
import { SkipjackError } from '../core/errors.ts';
import type { Json } from '../core/json.ts';
import type { Plan } from '../core/plan.ts';
import { usage } from './options.ts';

type JsonObject = { [key: string]: Json };

export function inputOption(): Option {
  return new Option(
    '--input <what>',
    'its input: name=value, FILE.json, or a JSON object; repeat for more, later ones win',
  ).argParser((text: string, before: string[] = []) => [...before, text]);
}

/**
 * The input that these arguments make together. The value of `name=value` is JSON where the definition says that
 * the input is a number, a boolean, an object or an array, else text. Whether it fits is judged at the start.
 */
export async function readInput(given: string[] = [], rules: Plan['input']): Promise<JsonObject> {
  const input: JsonObject = Object.create(null);
  for (const text of given) Object.assign(input, await readOne(text, rules));
  return { ...input };
}

async function readOne(text: string, rules: Plan['input']): Promise<JsonObject> {
  if (text.trimStart().startsWith('{')) return parseObject(text, '--input');
  const isPath = /^\.{0,2}\//.test(text);
  const at = text.indexOf('=');
  if (at === 0) throw usage(`--input "${text}" has no name. For example: --input amount=1000`);
  if (at > 0 && !isPath) return readPair(text.slice(0, at), text.slice(at + 1), rules);
  const source = await readFile(text, 'utf8').catch((error: NodeJS.ErrnoException) => {
    const why = error.code === 'ENOENT' ? 'there is no such file' : error.message;
    throw usage(
      `--input ${text} cannot be read: ${why}. Give a file, a JSON object, or name=value. For example: --input amount=1000`,
    );
  });
  return parseObject(source, text);
}

function readPair(name: string, value: string, rules: Plan['input']): JsonObject {
  const type = (rules && Object.hasOwn(rules, name) ? rules[name]?.type : undefined) ?? 'any';
  if (type === 'string' || type === 'any') return own(name, value);
  try {
    return own(name, JSON.parse(value) as Json);
  } catch {
    // As text it is refused with the name, the type and what it is.
    return own(name, value);
  }
}

/** Also for `__proto__`, which is then refused for what it is. */
function own(name: string, value: Json): JsonObject {
  return Object.fromEntries([[name, value]]);
}

function parseObject(text: string, where: string): JsonObject {
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch (error) {
    throw new SkipjackError('invalid_json', `${where} is not JSON: ${(error as Error).message}.`, {
      cause: error,
    });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new SkipjackError('invalid_input', `${where} is not a JSON object: an input has names and values.`);
}
