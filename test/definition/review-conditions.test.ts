/** An `if` means the same however it is written. */
import { describe, expect, test } from 'vitest';
import type { Json } from '../../src/core/json.ts';
import { parseDefinition } from '../../src/definition/parse-definition.ts';

function planned(condition: Json) {
  const parsed = parseDefinition(
    JSON.stringify({ tasks: [{ name: 'A' }, { name: 'B', needs: ['A'], if: condition }] }),
  );
  if (parsed.kind === 'invalid') throw new Error(JSON.stringify(parsed.problems));
  const { if: text, runs_on_failure = false, runs_on_cancel = false } = parsed.plan.tasks[1] ?? {};
  return { if: text, runs_on_failure, runs_on_cancel };
}

describe('a clean-up task is one', () => {
  test.for([
    ['always()', true, true],
    ['failure()', true, false],
    ['cancelled()', false, true],
    ['success()', false, false],
    ['failure() || cancelled()', true, true],
  ] as const)('by %s, bare, in blanks and in ${{ }}', ([text, runs_on_failure, runs_on_cancel]) => {
    const expected = { if: text, runs_on_failure, runs_on_cancel };
    for (const written of [text, ` ${text}\n`, `\${{ ${text} }}`, `\${{${text}}}`, `  \${{ ${text} }} `])
      expect(planned(written), written).toEqual(expected);
  });

  test('and not by true or false', () => {
    for (const written of [true, false, 'true', '${{ false }}'])
      expect(planned(written)).toMatchObject({ runs_on_failure: false, runs_on_cancel: false });
  });
});
