import { expect, test } from 'vitest';
import { schemaCommand } from '../../src/cli/commands/schema.ts';
import { makeJsonSchema } from '../../src/definition/json-schema.ts';
import { runCommand } from './support/in-process.ts';

test('the schema is printed as JSON, for draft-07', async () => {
  const { code, stdout } = await runCommand(schemaCommand(), []);
  expect(code).toBe(0);
  const printed = JSON.parse(stdout);
  expect(printed).toEqual(makeJsonSchema());
  expect(printed).toMatchObject({
    $schema: 'http://json-schema.org/draft-07/schema#',
    required: ['tasks'],
    additionalProperties: false,
    properties: { tasks: { minItems: 1, items: { required: ['name'], additionalProperties: false } } },
  });
});

test('it refers to nothing that is elsewhere', async () => {
  const { stdout } = await runCommand(schemaCommand(), []);
  expect(stdout).not.toContain('$ref');
});
