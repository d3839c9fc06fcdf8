/**
 * As much of tar as `docker cp` needs, which takes and gives files as a tar stream: writing regular files and folders,
 * and reading the first entry. (POSIX ustar; pax headers for names that do not fit.)
 */

export interface TarEntry {
  /** Without a slash in front. A folder has one at its end. */
  name: string;
  mode: number;
  content?: string | Buffer;
}

const blockBytes = 512;

const nameBytesMax = 100;

export function packTar(entries: TarEntry[]): Buffer {
  const parts: Buffer[] = [];
  for (const { name, mode, content = '' } of entries) {
    const bytes = Buffer.from(content);
    const isLong = Buffer.byteLength(name) > nameBytesMax;
    if (isLong) {
      const record = paxRecord('path', name);
      parts.push(header({ name: 'pax', mode: 0o644, bytes: record.length, type: 'x' }), padded(record));
    }
    const type = name.endsWith('/') ? '5' : '0';
    parts.push(header({ name: isLong ? 'long' : name, mode, bytes: bytes.length, type }), padded(bytes));
  }
  parts.push(Buffer.alloc(2 * blockBytes));
  return Buffer.concat(parts);
}

interface Header {
  name: string;
  mode: number;
  bytes: number;
  type: string;
}

function header({ name, mode, bytes, type }: Header): Buffer {
  const block = Buffer.alloc(blockBytes);
  block.write(name, 0, nameBytesMax, 'utf8');
  block.write(octal(mode, 7), 100);
  // Owner and group: root.
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(bytes, 11), 124);
  block.write(octal(Math.floor(Date.now() / 1000), 11), 136);
  block.write('        ', 148);
  block.write(type, 156);
  block.write('ustar\u000000', 257, 'latin1');
  block.write(
    `${octal(
      block.reduce((sum, byte) => sum + byte, 0),
      6,
    )}\u0000 `,
    148,
    'latin1',
  );
  return block;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}

/** `length key=value\n`, whose length counts its own digits. */
function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest;
  while (length !== rest + String(length).length) length = rest + String(length).length;
  return Buffer.from(`${length} ${key}=${value}\n`);
}

function padded(bytes: Buffer): Buffer {
  const over = bytes.length % blockBytes;
  return over === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(blockBytes - over)]);
}

export type FirstEntry =
  | { kind: 'file'; content: Buffer }
  | { kind: 'too_large'; bytes: number }
  | { kind: 'link' }
  | { kind: 'not_a_file' };

/** Headers of other kinds that may come before the first entry. */
const headersMax = 4;

/**
 * The first entry of a tar stream, as it comes in. `push` answers null until it is known; from then on nothing more
 * needs to be read. Whatever the stream says, no more than `bytesMax` is kept.
 */
export class FirstEntryReader {
  readonly #bytesMax: number;
  #buffer = Buffer.alloc(0);
  #offset = 0;
  #headers = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  push(chunk: Buffer): FirstEntry | null {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    while (this.#buffer.length >= this.#offset + blockBytes) {
      const block = this.#buffer.subarray(this.#offset, this.#offset + blockBytes);
      const type = String.fromCharCode(block[156] ?? 0);
      const bytes = sizeOf(block);
      const contentAt = this.#offset + blockBytes;
      if (type === 'x' || type === 'g' || type === 'L') {
        this.#headers += 1;
        if (this.#headers > headersMax || bytes > 65_536) return { kind: 'not_a_file' };
        if (this.#buffer.length < contentAt + bytes) return null;
        // Of a file so large that its size does not fit into the header.
        const size = /\d+ size=(\d+)\n/.exec(this.#buffer.toString('latin1', contentAt, contentAt + bytes));
        if (type === 'x' && size !== null) return { kind: 'too_large', bytes: Number(size[1]) };
        this.#offset = contentAt + Math.ceil(bytes / blockBytes) * blockBytes;
        continue;
      }
      if (type === '2') return { kind: 'link' };
      if (type !== '0' && type !== '\u0000') return { kind: 'not_a_file' };
      if (bytes > this.#bytesMax) return { kind: 'too_large', bytes };
      if (this.#buffer.length < contentAt + bytes) return null;
      return { kind: 'file', content: Buffer.from(this.#buffer.subarray(contentAt, contentAt + bytes)) };
    }
    return null;
  }
}

/** Octal, or for eight gigabytes and more the number itself, marked by the first bit. */
function sizeOf(block: Buffer): number {
  if (((block[124] ?? 0) & 0x80) !== 0) return Number.MAX_SAFE_INTEGER;
  const text = block.toString('latin1', 124, 136).replaceAll('\u0000', '').trim();
  return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.MAX_SAFE_INTEGER;
}
