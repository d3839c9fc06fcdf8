/** Chunks of logs as JSON, within the bounds of the server: 1,000 lines of 64 KiB, and calls of 8 MiB. */
import { formatDuration } from '../core/durations.ts';
import { SkipjackError } from '../core/errors.ts';
import type { LogChunk, LogLine, LogResult } from '../core/task-source.ts';

const linesMax = 1_000;
const lineBytesMax = 64 * 1024;
const chunkBytesMax = 1024 * 1024;
const agoMsMax = 30 * 24 * 3_600_000;

export interface WireChunk {
  id: string;
  token: string;
  first_line: number;
  lines: { text: string; stream: LogLine['stream']; part?: string; ago: string }[];
}

/** One result of a batch; with a `code` when it is a refusal. */
export interface LogChunkResult {
  full?: boolean;
  code?: string;
  detail?: string;
}

/** A chunk in parts that the server takes; `chunk` is its place. */
export function toWireChunks(
  { id, token, firstLine, lines }: LogChunk,
  chunk: number,
): { chunk: number; body: WireChunk }[] {
  const open = (offset: number): WireChunk => ({ id, token, first_line: firstLine + offset, lines: [] });
  const parts = [open(0)];
  let current = parts[0] as WireChunk;
  let bytes = 0;
  for (const [offset, line] of lines.entries()) {
    const wire = toWireLine(line);
    const size = Buffer.byteLength(wire.text) + 100;
    if (current.lines.length === linesMax || (bytes > 0 && bytes + size > chunkBytesMax)) {
      current = open(offset);
      parts.push(current);
      bytes = 0;
    }
    current.lines.push(wire);
    bytes += size;
  }
  return parts.map((body) => ({ chunk, body }));
}

/** As the server takes it, whatever a program wrote: refused lines would be lost with their neighbours. */
function toWireLine({ agoMs, stream, part, text }: LogLine): WireChunk['lines'][number] {
  const ago = Math.min(Math.max(0, Math.round(agoMs) || 0), agoMsMax);
  return {
    text: cutToBytes(storable(text), lineBytesMax),
    stream,
    ...(part ? { part: storable(part).slice(0, 200).toWellFormed() } : {}),
    ago: formatDuration(ago),
  };
}

function storable(text: string): string {
  return text.toWellFormed().replaceAll('\u0000', '\ufffd').replaceAll('\n', ' ');
}

function cutToBytes(text: string, bytesMax: number): string {
  if (Buffer.byteLength(text) <= bytesMax) return text;
  let end = bytesMax;
  const bytes = Buffer.from(text);
  // Not within a character.
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end);
}

const overCodes = ['lease_lost', 'already_settled', 'not_found', 'token_mismatch'];

/**
 * What became of each chunk: of several parts, the worst.
 *
 * @throws SkipjackError `invalid_request` when the server refuses one for what is in it: whoever sent several finds
 * out which. By its numbers what was kept of them counts once.
 */
export function mergeLogResults(
  count: number,
  parts: { chunk: number; result: LogChunkResult | undefined }[],
): LogResult[] {
  const merged = Array.from({ length: count }, (): LogResult => ({ kind: 'kept' }));
  for (const { chunk, result } of parts) {
    if (result === undefined || (result.code !== undefined && !overCodes.includes(result.code))) {
      throw new SkipjackError(
        'invalid_request',
        `The server does not take lines of a log: ${result?.detail ?? 'it did not say what became of them'}`,
      );
    }
    if (result.code !== undefined) merged[chunk] = { kind: 'lease_lost' };
    else if (result.full && merged[chunk]?.kind === 'kept') merged[chunk] = { kind: 'full' };
  }
  return merged;
}
