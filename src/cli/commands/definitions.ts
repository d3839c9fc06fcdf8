import { Command } from 'commander';
import type { DefinitionDiff, DefinitionSummary } from '../../client/views.ts';
import type { Flags } from '../../config.ts';
import type { Json } from '../../core/json.ts';
import { configuredClient } from '../client.ts';
import { byOption, outputOption, serverOption, wholeNumberArgument, withExamples } from '../options.ts';
import { limitOption, readPages, remarkMore } from '../pages.ts';
import { type Format, print, remark } from '../print.ts';
import { formatTable, printable, shortTime } from '../table.ts';

interface PageFlags extends Flags {
  limit: number;
  output: Format;
}

export function definitionsCommand(): Command {
  const command = new Command('definitions')
    .description('Published definitions: their versions, what changed, and whether more may be started')
    .summary('published definitions: list, versions, diff, deactivate')
    .addCommand(listDefinitionsCommand('list'))
    .addCommand(versionsCommand())
    .addCommand(diffCommand())
    .addCommand(activeCommand('deactivate'))
    .addCommand(activeCommand('activate'));
  return withExamples(command, [
    '$ skipjack definitions list',
    '$ skipjack definitions diff loan-application',
    '$ skipjack definitions deactivate loan-application --by Ada',
  ]);
}

/** Also `skipjack list definitions`. */
export function listDefinitionsCommand(name: 'list' | 'definitions'): Command {
  const said = name === 'list' ? 'definitions list' : 'list definitions';
  const command = new Command(name)
    .description('List published definitions by name, each with its newest version')
    .summary('list published definitions')
    .addOption(limitOption())
    .addOption(serverOption())
    .addOption(outputOption())
    .action(listDefinitions);
  return withExamples(command, [`$ skipjack ${said}`, `$ skipjack ${said} -o json`]);
}

async function listDefinitions(flags: PageFlags): Promise<void> {
  const client = configuredClient(flags);
  const definitions = await readPages(flags.limit, async (page) => {
    const { definitions: rows, next_cursor } = await client.listDefinitions(page);
    return { rows, next_cursor };
  });
  await print(definitions.rows, flags.output, () =>
    formatTable(definitions.rows, [
      { title: 'NAME', value: (definition) => definition.name },
      { title: 'VERSION', value: (definition) => definition.version },
      { title: 'TASKS', value: (definition) => definition.tasks },
      { title: 'PUBLISHED', value: (definition) => shortTime(definition.created_at) },
      { title: 'STATE', value: stateOf },
    ]),
  );
  remarkMore(definitions, flags);
}

function stateOf({ active, inactive_since, inactive_by }: DefinitionSummary): string {
  if (active) return 'active';
  return `inactive since ${shortTime(inactive_since)}${inactive_by === null ? '' : `, by ${inactive_by}`}`;
}

function versionsCommand(): Command {
  const command = new Command('versions')
    .description('List the versions of a definition, newest first')
    .summary('list the versions of a definition')
    .argument('<name>', 'of the definition')
    .addOption(limitOption())
    .addOption(serverOption())
    .addOption(outputOption())
    .action(versions);
  return withExamples(command, ['$ skipjack definitions versions loan-application']);
}

async function versions(name: string, flags: PageFlags): Promise<void> {
  const client = configuredClient(flags);
  const found = await readPages(flags.limit, async (page) => {
    const { versions: rows, next_cursor } = await client.listDefinitionVersions(name, page);
    return { rows, next_cursor };
  });
  await print(found.rows, flags.output, () =>
    formatTable(found.rows, [
      { title: 'VERSION', value: (each) => each.version },
      { title: 'TASKS', value: (each) => each.tasks },
      { title: 'PUBLISHED', value: (each) => shortTime(each.created_at) },
      { title: 'CHECKSUM', value: (each) => each.checksum.slice(0, 12) },
    ]),
  );
  remarkMore(found, flags);
  const [newest] = found.rows;
  if (newest && !newest.active && flags.output === 'text') remark(`${name} is ${stateOf(newest)}.`);
}

function diffCommand(): Command {
  const version = (flag: string) => wholeNumberArgument(flag, { min: 1, max: 999_999_999 });
  const command = new Command('diff')
    .description(
      'Show what is different between two versions of a definition, by task and key; the two newest unless they are named',
    )
    .summary('show what is different between two versions')
    .argument('<name>', 'of the definition')
    .option('--from <version>', 'the older one (the one before the other)', version('--from'))
    .option('--to <version>', 'the newer one (the newest)', version('--to'))
    .addOption(serverOption())
    .addOption(outputOption())
    .action(diff);
  return withExamples(command, [
    '$ skipjack definitions diff loan-application',
    '$ skipjack definitions diff loan-application --from 1 --to 3 -o json',
  ]);
}

async function diff(
  name: string,
  flags: Flags & { from?: number; to?: number; output: Format },
): Promise<void> {
  const { from, to } = flags;
  const found = await configuredClient(flags).diffDefinition(name, { from, to });
  await print(found, flags.output, () => formatDiff(found));
}

/** A line for each change, marked as diffs are. */
function formatDiff({ name, from, to, definition, tasks, tasks_left_out }: DefinitionDiff): string {
  const lines = [`${name}, version ${from} to ${to}`];
  for (const { pointer, before, after } of definition)
    lines.push(`~ ${pointer.slice(1)}: ${shown(before)} -> ${shown(after)}`);
  for (const { name: task, change, changes } of tasks) {
    lines.push(`${{ added: '+', removed: '-', changed: '~' }[change]} task ${task}`);
    if (change !== 'changed') continue;
    for (const { pointer, before, after } of changes)
      lines.push(`    ${pointer.slice(1)}: ${shown(before)} -> ${shown(after)}`);
  }
  if (lines.length === 1) lines.push('They mean the same: only their texts are different.');
  if (tasks_left_out > 0) lines.push(`and ${tasks_left_out} more tasks`);
  return printable(lines.join('\n'));
}

const shownLengthMax = 200;

function shown(value: Json | undefined): string {
  if (value === undefined) return '(nothing)';
  const text = JSON.stringify(value);
  return text.length > shownLengthMax ? `${text.slice(0, shownLengthMax - 1)}…` : text;
}

function activeCommand(verb: 'activate' | 'deactivate'): Command {
  const active = verb === 'activate';
  const command = new Command(verb)
    .description(
      active
        ? 'Let processes be started by this name again'
        : 'Let nothing more be started by this name, whatever the version. What runs goes on',
    )
    .summary(active ? 'let processes be started by it again' : 'let nothing more be started by it')
    .argument('<name>', 'of the definition')
    .addOption(byOption())
    .addOption(serverOption())
    .addOption(outputOption())
    .action(async (name: string, flags: Flags & { by?: string; output: Format }) => {
      const found = await configuredClient(flags).setDefinitionActive(name, active, { by: flags.by });
      await print(found, flags.output, () => `${found.name} is ${stateOf(found)}.`);
    });
  return withExamples(command, [`$ skipjack definitions ${verb} loan-application --by Ada`]);
}
