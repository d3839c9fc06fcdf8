import type { LogStream } from '../logs/attempt-log.ts';
import type { Mask } from '../secrets/mask.ts';

export interface StreamReader {
  /** Waits for nothing any more: the program is to end, or has ended, and what is in its pipe would be lost. */
  hurry(): void;
  /** What the mask held back comes last. */
  end(): void;
}

/**
 * Reads all that a program writes: masked first, chunk by chunk, then kept and logged. Where the log is full for the
 * moment, the program waits for it as for any slow pipe.
 */
export function readStream(
  stream: NodeJS.ReadableStream,
  { capture, log, mask }: { capture: { add(chunk: Buffer): void }; log: LogStream; mask: Mask },
): StreamReader {
  const masked = mask.stream();
  let isHurried = false;
  const take = (chunk: Buffer) => {
    if (chunk.length === 0) return;
    capture.add(chunk);
    log.write(chunk);
  };
  stream.on('data', (chunk: Buffer) => {
    take(masked.push(chunk));
    const room = isHurried ? null : (log.room?.() ?? null);
    if (room === null) return;
    stream.pause();
    void room.then(() => stream.resume());
  });
  // A pipe that breaks is destroyed; what was read until then is kept.
  stream.on('error', () => {});
  return {
    hurry() {
      isHurried = true;
      stream.resume();
    },
    end() {
      take(masked.end());
      log.end();
    },
  };
}
