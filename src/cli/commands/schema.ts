import { Command, Option } from 'commander';
import { makeJsonSchema } from '../../definition/json-schema.ts';
import { withExamples } from '../options.ts';
import { print } from '../print.ts';

export function schemaCommand(): Command {
  const command = new Command('schema')
    .description(
      'Print the JSON Schema (draft-07) of definitions, by which editors complete and check them. Needs no server and no database',
    )
    .summary('print the JSON Schema of definitions')
    // The only one: so that scripts may ask every command alike.
    .addOption(
      new Option('-o, --output <format>', 'how it is written to stdout').choices(['json']).default('json'),
    )
    .action(async () => {
      await print(makeJsonSchema(), 'json', () => '');
    });
  command.addHelpText(
    'after',
    `
An editor with a YAML language server takes it by a first line such as
  # yaml-language-server: $schema=skipjack.schema.json
It knows nothing of names, circles and expressions: "skipjack validate" checks those.`,
  );
  return withExamples(command, [
    '$ skipjack schema > skipjack.schema.json',
    "$ skipjack schema | jq '.properties | keys'",
  ]);
}
