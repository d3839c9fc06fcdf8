import type { Change, Progress } from './progress.ts';

/** Where a process is shown, on stderr. */
export interface View {
  /** Text that stays. */
  say(text: string): void;
  update(progress: Progress, changes: Change[]): void;
  /** Nothing moves any more; what is shown stays. */
  close(): void;
}
