/** A problem as people read it in a terminal. */
import type { DefinitionProblem } from './problem.ts';
import { excerptLeadOf, toCharacters } from './source-text.ts';

/**
 * `file:line:column: message (code)`, the line, and a caret under the place.
 *
 * @example
 * loan.yaml:11:13: there is no task "Open Load Application" (unknown_need)
 *       needs: [Open Load Application]
 *               ^
 *   did you mean "Open Loan Application"?
 */
export function formatProblem(problem: DefinitionProblem, { file }: { file: string }): string {
  const { line, column, code, message, excerpt, suggestion, related = [] } = problem;
  return [
    `${file}:${line}:${column}: ${printable(message)} (${code})`,
    ...underline(excerpt, column),
    ...(suggestion === undefined ? [] : [`  did you mean "${printable(suggestion)}"?`]),
    ...related.flatMap((other) => [
      `  ${file}:${other.line}:${other.column}: ${printable(other.message)}`,
      ...underline(other.excerpt, other.column),
    ]),
  ].join('\n');
}

function underline(excerpt: string | undefined, column: number): string[] {
  if (!excerpt?.trim()) return [];
  const characters = toCharacters(excerpt).map(printable);
  const lead = characters.slice(0, excerptLeadOf(column));
  const width = lead.reduce((sum, character) => sum + widthOf(character), 0);
  return [`  ${characters.join('')}`, `  ${' '.repeat(width)}^`];
}

/** Tabs as two spaces, and no control characters, by which a file could rule the reader's terminal. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  return text.replaceAll('\t', '  ').replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, '\ufffd');
}

const wide =
  /^(?:[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1f200}-\u{1f2ff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation})|\ufe0f/u;

/** Columns of a terminal that a character takes: two for Han, Kana, Hangul and emoji. */
function widthOf(character: string): number {
  if (character === '  ') return 2;
  if (/^\p{Mark}+$|^[\u200b-\u200f\u2060]+$/u.test(character)) return 0;
  return wide.test(character) ? 2 : 1;
}
