import { Command } from 'commander';
import type { Published } from '../../client/views.ts';
import type { Flags } from '../../config.ts';
import { SkipjackError } from '../../core/errors.ts';
import { configuredClient } from '../client.ts';
import { type DefinitionFile, readDefinitionFile } from '../definition-file.ts';
import { outputOption, serverOption, usage, withExamples } from '../options.ts';
import { type Format, print } from '../print.ts';

export function publishCommand(): Command {
  const command = new Command('publish')
    .description(
      'Publish definitions: each becomes a new version of its name, unless it is what was published last. Nothing is published when one of the files has a problem',
    )
    .summary('publish definitions')
    .argument('<file...>', 'definitions in YAML or JSON; - reads stdin')
    .option('--name <name>', 'instead of the name in the file; for one file')
    .addOption(serverOption())
    .addOption(outputOption())
    .action(publish);
  return withExamples(command, [
    '$ skipjack publish definitions/*.yaml',
    '$ skipjack publish loan.yaml --name loan-application',
  ]);
}

async function publish(files: string[], flags: Flags & { name?: string; output: Format }): Promise<void> {
  if (flags.name !== undefined && files.length > 1) throw usage('--name is for one file.');
  const definitions: (DefinitionFile & { name: string })[] = [];
  for (const file of files) {
    const definition = await readDefinitionFile(file);
    definitions.push({ ...definition, name: flags.name ?? nameOf(definition) });
  }
  const client = configuredClient({ ...flags });
  const published: Published[] = [];
  for (const { file, name, source } of definitions) {
    published.push(
      await client.publishDefinition(name, source).catch((error) => {
        throw inFile(error, file);
      }),
    );
  }
  await print(published, flags.output, () =>
    published
      .map(
        ({ name, version, created, active }) =>
          `${name}, version ${version}${created ? '' : ' as before'}${active ? '' : ', inactive as before'}`,
      )
      .join('\n'),
  );
}

function nameOf({ file, plan }: DefinitionFile): string {
  if (plan.name !== null) return plan.name;
  throw usage(`${file} has no name in it. Give it one: skipjack publish ${file} --name loan-application`);
}

/** What the server finds wrong that we did not, with its place in the file. */
function inFile(error: unknown, file: string): unknown {
  if (!(error instanceof SkipjackError) || error.code !== 'invalid_definition') return error;
  const { message, problems, extra } = error;
  return new SkipjackError(error.code, message, { problems, extra: { ...extra, file }, cause: error });
}
