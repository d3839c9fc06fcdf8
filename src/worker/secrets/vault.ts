/**
 * Where a worker finds the values of secrets: a file of its folder for secrets, else its environment.
 *
 * Read anew for each attempt, so that a secret that was exchanged is used from then on.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import { secretNamePattern } from '../../core/secret-text.ts';

export interface Vault {
  /** Where it looks, for a sentence about a secret that is missing. */
  readonly description: string;
  /**
   * Null: there is no such secret.
   *
   * @throws Error with a sentence that names the secret, for a value that cannot be read or used. Never the value.
   */
  read(name: string): Promise<string | null>;
}

/** The longest value, in bytes of UTF-8. */
export const secretBytesMax = 65_536;

/** The variable that holds a secret's value. */
function secretVariable(name: string): string {
  return `SKIPJACK_SECRET_${name}`;
}

export function openVault({
  dir,
  environment,
}: {
  /** With a file for each secret, by its name; links are followed, for so Kubernetes mounts them. */
  dir: string | null;
  environment: Record<string, string | undefined>;
}): Vault {
  return {
    description:
      dir === null
        ? 'for SKIPJACK_SECRET_NAME in its environment'
        : `for the file NAME in ${dir}, then for SKIPJACK_SECRET_NAME in its environment`,
    async read(name) {
      // Whoever serves the claim has looked at it; what would leave the folder is still no name.
      if (!secretNamePattern.test(name)) return null;
      const bytes =
        (dir === null ? null : await readSecretFile(path.join(dir, name), name)) ??
        fromEnvironment(environment, secretVariable(name));
      return bytes === null ? null : toValue(bytes, name);
    },
  };
}

function fromEnvironment(environment: Record<string, string | undefined>, variable: string): Buffer | null {
  const value = environment[variable];
  return value === undefined ? null : Buffer.from(value);
}

/** Null: there is no such file. Without its final newline, which editors and `echo` add. */
async function readSecretFile(file: string, name: string): Promise<Buffer | null> {
  let handle: FileHandle;
  try {
    // A pipe would make the worker wait for somebody to write into it.
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    throw new Error(`the file of the secret ${name} cannot be read (${code})`);
  }
  try {
    if (!(await handle.stat()).isFile()) throw new Error(`the secret ${name} is not a file`);
    const buffer = Buffer.alloc(secretBytesMax + 3);
    let length = 0;
    for (let read = 1; read > 0 && length < buffer.length; length += read) {
      read = (await handle.read(buffer, length, buffer.length - length)).bytesRead;
    }
    const end =
      buffer[length - 1] === newline ? length - (buffer[length - 2] === carriageReturn ? 2 : 1) : length;
    return buffer.subarray(0, end);
  } finally {
    await handle.close();
  }
}

const newline = 0x0a;
const carriageReturn = 0x0d;

function toValue(bytes: Buffer, name: string): string {
  if (bytes.length > secretBytesMax)
    throw new Error(`the secret ${name} has more than ${secretBytesMax} bytes`);
  // Neither arguments nor environments of programs can hold it, and Node would show the value in its error.
  if (bytes.includes(0))
    throw new Error(`the secret ${name} has a NUL byte, which no program could be given`);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Error(`the secret ${name} is not UTF-8 text; store it as base64, say`);
  }
}
