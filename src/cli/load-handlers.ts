import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Handler } from '../worker/handler.ts';
import { usage } from './options.ts';

/**
 * The handlers in an ES module: each exported function under its name, and those in a default export that is an
 * object, whose keys may be any text.
 */
export async function loadHandlers(file: string): Promise<Record<string, Handler>> {
  let loaded: Record<string, unknown>;
  try {
    loaded = await import(pathToFileURL(resolve(file)).href);
  } catch (error) {
    const { message } = error as Error;
    throw usage(`--handlers ${file} cannot be loaded: ${message}. It must be an ES module (.mjs or .js).`);
  }
  const { default: byDefault, ...named } = loaded;
  const more = typeof byDefault === 'object' && byDefault !== null ? byDefault : {};
  const handlers = Object.entries({ ...named, ...more }).filter(
    (entry): entry is [string, Handler] => typeof entry[1] === 'function',
  );
  if (handlers.length === 0) {
    throw usage(
      `--handlers ${file} exports no functions. For example: export default { greet: async ({ name }) => \`hello \${name}\` };`,
    );
  }
  return Object.fromEntries(handlers);
}
