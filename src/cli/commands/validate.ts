import { Command } from 'commander';
import { formatProblem } from '../../definition/format-problem.ts';
import { parseDefinition } from '../../definition/parse-definition.ts';
import type { DefinitionProblem } from '../../definition/problem.ts';
import { readBounded } from '../definition-file.ts';
import { outputOption, withExamples } from '../options.ts';
import { type Format, print } from '../print.ts';

/** What is printed of one file. */
interface Verdict {
  file: string;
  valid: boolean;
  /** How many; null where problems keep them from being counted. */
  tasks: number | null;
  problems: DefinitionProblem[];
}

export function validateCommand(): Command {
  const command = new Command('validate')
    .description(
      'Check definitions, in YAML or JSON, and show where each problem is. Needs no server and no database',
    )
    .summary('check definitions')
    .argument('<file...>', 'files with a definition each; - reads stdin')
    .addOption(outputOption())
    .action(validate);
  command.addHelpText(
    'after',
    '\nThe exit code is 0 when all are valid, 5 when one is not, 3 when one is not there.',
  );
  return withExamples(command, [
    '$ skipjack validate loan.yaml',
    "$ skipjack validate definitions/*.yaml -o json | jq -r '.[] | select(.valid | not) | .file'",
    '$ ./make-definition | skipjack validate -',
  ]);
}

async function validate(files: string[], flags: { output: Format }): Promise<void> {
  // All are read before the first is judged: a file that is not there is a mistake of the command line.
  const sources: { file: string; source: Buffer }[] = [];
  for (const file of files) sources.push({ file, source: await readBounded(file) });
  const verdicts = sources.map(({ file, source }) => judge(file, source));
  await print(verdicts, flags.output, () => verdicts.map(toText).join('\n'));
  if (verdicts.some(({ valid }) => !valid)) process.exitCode = 5;
}

function judge(file: string, source: Uint8Array): Verdict {
  const parsed = parseDefinition(source);
  return parsed.kind === 'valid'
    ? { file, valid: true, tasks: parsed.plan.tasks.length, problems: [] }
    : { file, valid: false, tasks: null, problems: parsed.problems };
}

function toText({ file, valid, tasks, problems }: Verdict): string {
  if (valid) return `${file}: valid, ${tasks} ${tasks === 1 ? 'task' : 'tasks'}`;
  return problems.map((problem) => formatProblem(problem, { file })).join('\n');
}
