import { Command } from 'commander';
import type { Published } from '../../client/views.ts';
import type { Flags } from '../../config.ts';
import type { Plan } from '../../core/plan.ts';
import { configuredClient } from '../client.ts';
import { type DefinitionFile, inFile, readDefinitionFile } from '../definition-file.ts';
import { outputOption, serverOption, usage, withExamples } from '../options.ts';
import { type Format, print } from '../print.ts';

export function publishCommand(): Command {
  const command = new Command('publish')
    .description(
      'Publish definitions, those first that others start: each becomes a new version of its name, unless it is what was published last. Nothing is published when one of the files has a problem by itself',
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
  try {
    for (const { file, name, source } of startedFirst(definitions)) {
      published.push(
        await client.publishDefinition(name, source).catch((error) => {
          throw inFile(error, file);
        }),
      );
    }
  } finally {
    // What is published stays so, whatever is wrong with the next.
    if (published.length > 0) await print(published, flags.output, () => published.map(describe).join('\n'));
  }
}

function describe({ name, version, created, active }: Published): string {
  return `${name}, version ${version}${created ? '' : ' as before'}${active ? '' : ', inactive as before'}`;
}

/** Before each definition those that it starts, for a name that is not published is refused. */
function startedFirst<Definition extends DefinitionFile & { name: string }>(
  definitions: Definition[],
): Definition[] {
  const ordered = new Set<Definition>();
  const seen = new Set<Definition>();
  const visit = (definition: Definition) => {
    if (seen.has(definition)) return;
    seen.add(definition);
    const names = startedBy(definition.plan);
    for (const other of definitions) if (names.has(other.name)) visit(other);
    ordered.add(definition);
  };
  definitions.forEach(visit);
  return [...ordered];
}

function startedBy({ tasks, on_failure }: Plan): Set<string> {
  const names = tasks.flatMap(({ process }) => (process ? [process.definition] : []));
  return new Set(on_failure ? [...names, on_failure.definition] : names);
}

function nameOf({ file, plan }: DefinitionFile): string {
  if (plan.name !== null) return plan.name;
  throw usage(`${file} has no name in it. Give it one: skipjack publish ${file} --name loan-application`);
}
