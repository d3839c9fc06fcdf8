import { Command } from 'commander';
import { stringify } from 'yaml';
import { type Explanation, explainField } from '../../definition/explain.ts';
import { outputOption, usage, withExamples } from '../options.ts';
import { type Format, print } from '../print.ts';

export function explainCommand(): Command {
  const command = new Command('explain')
    .description(
      'Explain a key of definitions: what it means, its type, what holds without it, an example, and the keys below it. Needs no server and no database',
    )
    .summary('explain a key of definitions')
    .argument('[field]', 'such as tasks.retry.delay; without it the keys of a definition')
    .addOption(outputOption())
    .action(explain);
  return withExamples(command, [
    '$ skipjack explain',
    '$ skipjack explain tasks.retry',
    '$ skipjack explain tasks.wait_for -o json | jq .example',
  ]);
}

async function explain(field = '', { output }: { output: Format }): Promise<void> {
  const explained = explainField(field);
  if (explained.kind === 'unknown') {
    const { part, at, suggestion } = explained;
    const below = at === '' ? 'A definition' : `"${at}"`;
    const hint =
      suggestion === null
        ? `See "skipjack explain${at === '' ? '' : ` ${at}`}".`
        : `Did you mean "${suggestion}"?`;
    throw usage(`${below} has no key "${part}". ${hint}`);
  }
  const { explanation } = explained;
  await print(explanation, output, () => toText(explanation));
}

const columns = 100;

function toText({ path, type, required, description, ...rest }: Explanation): string {
  const { default: byDefault, example, values, members } = rest;
  const head = path === '' ? [] : [`${path}: ${type}${required ? ', required' : ''}`, ''];
  const facts = [
    ...(values === null ? [] : [`One of: ${values.map(String).join(', ')}`]),
    ...(byDefault === null ? [] : [`Without it: ${JSON.stringify(byDefault).replaceAll('"', '')}`]),
  ];
  const keyWidth = Math.max(0, ...members.map((member) => keyOf(member).length));
  const typeWidth = Math.max(0, ...members.map((member) => member.type.length));
  const rows = members.map((member) => {
    const words = firstSentence(member.description ?? '');
    return `  ${keyOf(member).padEnd(keyWidth)}  ${member.type.padEnd(typeWidth)}  ${words}`.trimEnd();
  });
  return [
    ...head,
    ...wrap(description ?? ''),
    ...(facts.length === 0 ? [] : ['', ...facts]),
    ...(example === null ? [] : ['', 'For example:', ...toYaml(path, example)]),
    ...(rows.length === 0 ? [] : ['', 'Keys (* required):', ...rows]),
  ].join('\n');
}

function keyOf({ path, required }: Pick<Explanation, 'path' | 'required'>): string {
  return `${path.split('.').at(-1)}${required ? '*' : ''}`;
}

function firstSentence(text: string): string {
  return text.split('. ')[0]?.replace(/\.$/, '') ?? text;
}

/** As it would stand in a definition. */
function toYaml(path: string, example: unknown): string[] {
  const key = path.split('.').at(-1) ?? path;
  return stringify({ [key]: example }, { lineWidth: 0 })
    .trimEnd()
    .split('\n')
    .map((line) => `  ${line}`);
}

function wrap(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= columns)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
