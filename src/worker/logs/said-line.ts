import type { LogLine } from '../../core/task-source.ts';

/** A line, and when it was said by the monotonic clock of this OS process. */
export interface SaidLine extends Omit<LogLine, 'agoMs'> {
  saidMs: number;
  /** Of its text in UTF-8. */
  bytes: number;
  /** It stands for lines that are missing. */
  isRemark: boolean;
}

/** Stands for lines that are missing. */
export function remark(text: string, saidMs = performance.now()): SaidLine {
  return { saidMs, stream: 'skipjack', part: null, text, bytes: Buffer.byteLength(text), isRemark: true };
}
