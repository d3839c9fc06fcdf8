/**
 * Durations as people write them: `500ms`, `30s`, `10m`, `2h`, `7d`.
 *
 * @example
 * parseDuration('90s') // 90_000
 * parseDuration('soon') // null
 */
const unitsMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** The longest duration we accept: 10 years. Longer ones are mistakes, and overflow intervals. */
export const durationMsMax = 3_650 * unitsMs.d;

export const durationPattern = /^(\d{1,12}(?:\.\d{1,3})?)(ms|s|m|h|d)$/;

/** Milliseconds, rounded, or null if `text` is not a duration or is longer than ten years. */
export function parseDuration(text: string): number | null {
  const match = durationPattern.exec(text);
  if (!match) return null;
  const ms = Math.round(Number(match[1]) * unitsMs[match[2] as keyof typeof unitsMs]);
  return ms <= durationMsMax ? ms : null;
}

/** The shortest exact way to write `ms`. */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    if (ms >= unitsMs[unit] && ms % unitsMs[unit] === 0) return `${ms / unitsMs[unit]}${unit}`;
  }
  return `${ms}ms`;
}
