/** The list in which the checks gather what is wrong. */
import { type DefinitionProblem, type PlacedFinding, toPointer } from './problem.ts';
import { SourceText } from './source-text.ts';

const problemsMax = 100;

/**
 * The first hundred problems are kept, in the order of the checks; the rest is counted.
 *
 * A place is blamed once: what aliases repeat is one mistake, and so is text that is no text and too long.
 */
export class ProblemList {
  readonly #kept: PlacedFinding[] = [];
  readonly #blamed = new Set<string>();
  #left = 0;
  /** The syntax is so wrong that the rest was not read. */
  hasStopped = false;

  get isFull(): boolean {
    return this.#kept.length >= problemsMax;
  }

  get isEmpty(): boolean {
    return this.#kept.length === 0;
  }

  /** `place` is called for what is kept only: to find a place takes a walk. */
  add(place: () => PlacedFinding): void {
    if (this.isFull) {
      this.#left += 1;
      return;
    }
    const finding = place();
    const { offset, of = 'value', path } = finding;
    const blamed = `${offset} ${of} ${of === 'map' ? path.at(-1) : ''}`;
    if (this.#blamed.has(blamed)) return;
    this.#blamed.add(blamed);
    this.#kept.push(finding);
  }

  /** In the order of the text. */
  toProblems(text: string): DefinitionProblem[] {
    const source = new SourceText(text);
    const sorted = this.#kept.toSorted((a, b) => a.offset - b.offset);
    const problems = sorted.map((finding) => toProblem(finding, source));
    const last = problems.at(-1);
    if (last === undefined || (this.#left === 0 && !this.hasStopped)) return problems;
    const { line, column } = last;
    const message = this.hasStopped ? 'and perhaps more: the rest was not read' : `and ${this.#left} more`;
    return [...problems, { pointer: '', line, column, code: 'more_problems', message }];
  }
}

function toProblem(finding: PlacedFinding, source: SourceText): DefinitionProblem {
  const { path, code, message, offset, suggest, related = [] } = finding;
  const { line, column, excerpt } = source.place(offset);
  const suggestion = suggest?.();
  return {
    pointer: toPointer(path),
    line,
    column,
    code,
    message,
    ...(suggestion === undefined ? {} : { suggestion }),
    excerpt,
    ...(related.length === 0
      ? {}
      : { related: related.map((other) => ({ ...source.place(other.offset), message: other.message })) }),
  };
}
