/** What an attempt says, on its way to the task's log. */
import type { LogLine } from '../../core/task-source.ts';

export interface AttemptLog {
  /**
   * A stream of bytes, cut into lines at its newlines. `part`: which part of a container task speaks. Bytes are copied
   * where they are kept; they must have been masked.
   */
  open(stream: 'stdout' | 'stderr', part?: string): LogStream;
  /** Adds a line at once, or several of a text with newlines. The text must have been masked. */
  say(text: string, options?: { stream?: LogLine['stream']; part?: string }): void;
}

/** An attempt's log in the hands of who opened it. */
export interface OpenLog extends AttemptLog {
  /**
   * Nothing that is said after this is kept. Resolves when all that was said has reached the server or was given up, at
   * the latest after some seconds. Before the outcome is settled: the server takes lines of claims that are held.
   */
  close(): Promise<void>;
}

export interface LogStream {
  write(chunk: Buffer): void;
  /**
   * Null: go on. Otherwise the server is behind, and whoever reads a program waits for this, a few seconds at most,
   * rather than have lines dropped.
   */
  room?(): Promise<void> | null;
  /** The last line may have no newline. */
  end(): void;
}
