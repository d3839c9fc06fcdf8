import type { Readable } from 'node:stream';
import type { LogStream } from '../logs/attempt-log.ts';
import type { Mask } from '../secrets/mask.ts';

/**
 * Reads all that a program writes: masked first, chunk by chunk, then kept and logged. Returns what ends it: what the
 * mask held back comes last.
 */
export function readStream(
  stream: Readable,
  { capture, log, mask }: { capture: { add(chunk: Buffer): void }; log: LogStream; mask: Mask },
): () => void {
  const masked = mask.stream();
  const take = (chunk: Buffer) => {
    if (chunk.length === 0) return;
    capture.add(chunk);
    log.write(chunk);
  };
  stream.on('data', (chunk: Buffer) => take(masked.push(chunk)));
  // A pipe that breaks is destroyed; what was read until then is kept.
  stream.on('error', () => {});
  return () => {
    take(masked.end());
    log.end();
  };
}
