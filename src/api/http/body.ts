/**
 * Reads a JSON body, within bounds and without guessing.
 *
 * Only `application/json` is read: a form on a stranger's web page can send other types without being asked,
 * and must not be able to enqueue commands. The size is bounded while it is read, so neither a chunked body nor
 * a lying Content-Length gets more than its share of memory. Bytes that are not UTF-8 are refused: replaced
 * by question marks they would be stored as something nobody sent.
 */
import type { Context } from 'hono';
import { SkipjackError } from '../../core/errors.ts';

export const bodyBytesMaxDefault = 8 * 1024 * 1024;

/** The body as JSON; undefined when there is none. */
export async function readJsonBody(c: Context, { bytesMax }: { bytesMax: number }): Promise<unknown> {
  const contentType = c.req.header('content-type');
  if (contentType !== undefined && !isJson(contentType)) throw wrongType(`"${contentType.slice(0, 100)}"`);
  const encoding = c.req.header('content-encoding');
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    throw new SkipjackError(
      'unsupported_media_type',
      `Bodies encoded as "${encoding.slice(0, 100)}" are not read. Send it as it is, without Content-Encoding.`,
    );
  }
  const bytes = await readBytes(c, bytesMax);
  if (bytes.byteLength === 0) return undefined;
  if (contentType === undefined) throw wrongType('not named');
  return parseJson(bytes);
}

function isJson(contentType: string): boolean {
  const [essence = '', ...parameters] = contentType.toLowerCase().split(';');
  return (
    essence.trim() === 'application/json' &&
    parameters.every(
      (parameter) => !parameter.trim().startsWith('charset') || /^charset="?utf-?8"?$/.test(parameter.trim()),
    )
  );
}

function wrongType(given: string): SkipjackError {
  return new SkipjackError(
    'unsupported_media_type',
    `The content type is ${given}; JSON in UTF-8 is read here. Send the header "content-type: application/json".`,
  );
}

async function readBytes(c: Context, bytesMax: number): Promise<Uint8Array> {
  const declared = c.req.header('content-length');
  const isDeclared = declared !== undefined && c.req.header('transfer-encoding') === undefined;
  if (isDeclared && Number(declared) > bytesMax) throw tooLarge(bytesMax);
  try {
    // Node's HTTP parser hands over no more than was declared.
    if (isDeclared) return new Uint8Array(await c.req.arrayBuffer());
    return await readChunks(c, bytesMax);
  } catch (error) {
    if (error instanceof SkipjackError) throw error;
    throw new SkipjackError('invalid_json', 'The body ended before it was complete.', { cause: error });
  }
}

async function readChunks(c: Context, bytesMax: number): Promise<Uint8Array> {
  const reader = c.req.raw.body?.getReader();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) {
    bytes += next.value.byteLength;
    if (bytes > bytesMax) throw tooLarge(bytesMax);
    chunks.push(next.value);
  }
  return Buffer.concat(chunks);
}

function tooLarge(bytesMax: number): SkipjackError {
  return new SkipjackError(
    'body_too_large',
    `The body has more than ${bytesMax} bytes. Send less at once; keep large data elsewhere and hand over where it is.`,
  );
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function parseJson(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch (cause) {
    throw new SkipjackError('invalid_json', 'The body is not UTF-8.', { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    const message = (cause as Error).message;
    const place = findPlace(message, text);
    const where = place ? ` (line ${place.line}, column ${place.column})` : '';
    throw new SkipjackError('invalid_json', `${message}${where}.`, { cause, extra: place ?? {} });
  }
}

/** Where V8 says it stumbled, counted from 1. It does not say so of short texts. */
function findPlace(message: string, text: string): { line: number; column: number } | null {
  const named = / at position (\d+)/.exec(message)?.[1];
  const offset =
    named === undefined ? (/end of JSON input/.test(message) ? text.length : null) : Number(named);
  if (offset === null) return null;
  const before = text.slice(0, offset);
  return { line: before.split('\n').length, column: offset - before.lastIndexOf('\n') };
}
