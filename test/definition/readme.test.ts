/** The README shows a definition that is there to be run. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseDefinition } from '../../src/definition/parse-definition.ts';

const root = join(import.meta.dirname, '../..');

function read(...path: string[]): string {
  return readFileSync(join(root, ...path), 'utf8');
}

test('the definition of the README is the example, and valid with all that it starts', () => {
  const [, shown = 'nothing'] = /^```yaml\n(.*?)^```$/ms.exec(read('README.md')) ?? [];
  const example = read('test/examples/order.yaml');
  expect(example).toContain(shown);
  for (const source of [example, read('test/examples/ship.yaml'), read('test/examples/refund.yaml')])
    expect(parseDefinition(source)).toMatchObject({ kind: 'valid' });
});
