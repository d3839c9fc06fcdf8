/**
 * Reads a body as text, within bounds and without guessing.
 *
 * Only JSON is read, and YAML where an endpoint takes it: a form on a stranger's web page can send other types
 * without being asked, and must not be able to enqueue commands. The size is bounded while it is read, so neither
 * a chunked body nor a lying Content-Length gets more than its share of memory. Bytes that are not UTF-8 are
 * refused: replaced by question marks they would be stored as something nobody sent.
 */
import type { Context } from 'hono';
import { SkipjackError } from '../../core/errors.ts';

export const bodyBytesMaxDefault = 8 * 1024 * 1024;

/** The first of each is the one to send. */
export const contentTypes = {
  json: ['application/json'],
  yaml: ['application/yaml', 'text/yaml', 'application/x-yaml'],
} as const;

export type BodyType = keyof typeof contentTypes;

export interface TextBody {
  type: BodyType;
  text: string;
}

/** Undefined when there is none. */
export async function readTextBody(
  c: Context,
  { bytesMax, types }: { bytesMax: number; types: readonly BodyType[] },
): Promise<TextBody | undefined> {
  const contentType = c.req.header('content-type');
  const type = types.find((each) => contentType !== undefined && isOfType(contentType, each));
  if (contentType !== undefined && type === undefined) {
    throw wrongType(`"${contentType.slice(0, 100)}"`, types);
  }
  const encoding = c.req.header('content-encoding');
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    throw new SkipjackError(
      'unsupported_media_type',
      `Bodies encoded as "${encoding.slice(0, 100)}" are not read. Send it as it is, without Content-Encoding.`,
    );
  }
  const bytes = await readBytes(c, bytesMax).catch((cause) => {
    if (cause instanceof SkipjackError) throw cause;
    throw malformed('The body ended before it was complete.', types, cause);
  });
  if (bytes.byteLength === 0) return undefined;
  if (type === undefined) throw wrongType('not named', types);
  return { type, text: decode(bytes, types) };
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function decode(bytes: Uint8Array, types: readonly BodyType[]): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw malformed('The body is not UTF-8.', types, cause);
  }
}

/** In the words of what is read here. */
export function malformed(message: string, types: readonly BodyType[], cause?: unknown): SkipjackError {
  return new SkipjackError(types.includes('yaml') ? 'invalid_request' : 'invalid_json', message, { cause });
}

function isOfType(contentType: string, type: BodyType): boolean {
  const [essence = '', ...parameters] = contentType.toLowerCase().split(';');
  return (
    (contentTypes[type] as readonly string[]).includes(essence.trim()) &&
    parameters.every(
      (parameter) => !parameter.trim().startsWith('charset') || /^charset="?utf-?8"?$/.test(parameter.trim()),
    )
  );
}

function wrongType(given: string, types: readonly BodyType[]): SkipjackError {
  const read = types.map((type) => type.toUpperCase()).join(' or ');
  const send = types.map((type) => `"content-type: ${contentTypes[type][0]}"`).join(' or ');
  return new SkipjackError(
    'unsupported_media_type',
    `The content type is ${given}; ${read} in UTF-8 is read here. Send the header ${send}.`,
    { extra: { accept: types.flatMap((type) => contentTypes[type]) } },
  );
}

async function readBytes(c: Context, bytesMax: number): Promise<Uint8Array> {
  const declared = c.req.header('content-length');
  const isDeclared = declared !== undefined && c.req.header('transfer-encoding') === undefined;
  if (isDeclared && Number(declared) > bytesMax) throw tooLarge(bytesMax);
  // Node's HTTP parser hands over no more than was declared.
  return isDeclared ? new Uint8Array(await c.req.arrayBuffer()) : readChunks(c, bytesMax);
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

/**
 * A body is judged before it is read: eight megabytes of brackets are four million values, and a second of work. The
 * smallest members of a map take six bytes, so that a megabyte of input has no more of them.
 */
const bodyLimits = { valuesMax: 600_000, membersMax: 200_000, depthMax: 1_000 } as const;

export function parseJson(text: string): unknown {
  const bulk = findBulk(text);
  if (bulk !== null) {
    const place = placeOf(bulk.at, text);
    throw new SkipjackError(
      'invalid_request',
      `The body has ${bulk.message} (line ${place.line}, column ${place.column}).`,
      { problems: [{ pointer: '', message: `has ${bulk.message}` }], extra: place },
    );
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

/** By the signs outside of its texts; whether it is JSON at all is not asked. */
function findBulk(text: string): { message: string; at: number } | null {
  const { valuesMax, membersMax, depthMax } = bodyLimits;
  if (text.length < valuesMax && text.length < depthMax) return null;
  let values = 1;
  let members = 0;
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case 0x22: // "
        at = endOfText(text, at);
        break;
      case 0x2c: // ,
        values += 1;
        if (values > valuesMax) return { message: `more than ${valuesMax} values`, at };
        break;
      case 0x3a: // :
        members += 1;
        if (members > membersMax) return { message: `more than ${membersMax} members of maps`, at };
        break;
      case 0x5b: // [
      case 0x7b: // {
        values += 1;
        depth += 1;
        if (depth > depthMax) return { message: `values nested deeper than ${depthMax}`, at };
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth -= 1;
    }
  }
  return null;
}

/** Where the quote is that closes it. */
function endOfText(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let escapes = 0;
    while (text.charCodeAt(end - 1 - escapes) === 0x5c) escapes += 1;
    if (escapes % 2 === 0) return end;
  }
  return text.length;
}

/** Where V8 says it stumbled, counted from 1. It does not say so of short texts. */
function findPlace(message: string, text: string): { line: number; column: number } | null {
  const named = / at position (\d+)/.exec(message)?.[1];
  const offset =
    named === undefined ? (/end of JSON input/.test(message) ? text.length : null) : Number(named);
  return offset === null ? null : placeOf(offset, text);
}

/** Both counted from 1. */
function placeOf(offset: number, text: string): { line: number; column: number } {
  const before = text.slice(0, offset);
  return { line: before.split('\n').length, column: offset - before.lastIndexOf('\n') };
}
