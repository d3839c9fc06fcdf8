/** Durations that the engine waits: of `sleep`, of `wait_for.timeout`, of `deadline`. */
import { formatDuration, parseDuration } from '../core/durations.ts';
import type { Json } from '../core/json.ts';
import { nameKind } from '../core/schema-words.ts';
import { type Check, subjectOf } from './check.ts';
import type { Path } from './problem.ts';

const waitMsMax = 366 * 86_400_000;

/** In milliseconds; null if it is none, which has been reported. */
export function readDuration(
  value: Json,
  path: Path,
  { report, msMin }: Pick<Check, 'report'> & { msMin: 0 | 1 },
): number | null {
  const subject = subjectOf(path);
  if (typeof value !== 'string') {
    report({
      path,
      code: 'wrong_type',
      message: `${subject} must be text such as 10m, not ${nameKind(value)}`,
    });
    return null;
  }
  const ms = parseDuration(value);
  const refuse = (message: string, code = 'invalid_value') => {
    report({ path, code, message: `${subject} ${message}` });
    return null;
  };
  if (value.includes('${{'))
    return refuse('is no template: write a duration such as 10m', 'misplaced_expression');
  if (ms === null && !/^\d+(\.\d+)?(ms|s|m|h|d)$/.test(value)) {
    return refuse('is not a duration: write 500ms, 30s, 10m, 2h or 7d');
  }
  if (ms === null || ms > waitMsMax) return refuse(`is longer than ${formatDuration(waitMsMax)}`);
  return ms < msMin ? refuse('must be longer than 0') : ms;
}
