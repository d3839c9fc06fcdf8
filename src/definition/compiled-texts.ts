/** The expressions of one definition, compiled: the same text in a thousand tasks once, and all within a bound. */
import { planLimits } from '../core/plan.ts';
import { type InputTypes, type StaticType, typeOfExpression } from '../expression/check-types.ts';
import { expressionLimits } from '../expression/limits.ts';
import type { Names } from '../expression/parse.ts';
import { parseTemplate, parseWhole, type TemplateProblem } from '../expression/template.ts';

export interface CompiledText {
  problems: TemplateProblem[];
  /** Where the first reference to a secret begins. */
  secretAt: number | null;
  expressions: CompiledExpression[];
}

interface CompiledExpression {
  names: Names;
  /** What it yields, as far as that is known. */
  type: StaticType;
  /** The text is this expression and nothing else. */
  isWhole: boolean;
  start: number;
  end: number;
  textAt: number;
}

const nothing: CompiledText = { problems: [], secretAt: null, expressions: [] };

export class CompiledTexts {
  readonly #types: InputTypes;
  readonly #known = { template: new Map<string, CompiledText>(), bare: new Map<string, CompiledText>() };
  #count = 0;
  #letters = 0;
  #isFull = false;

  constructor(types: InputTypes) {
    this.#types = types;
  }

  /** `tooMany` says so, the first time that there are. */
  read(text: string, as: 'template' | 'bare'): CompiledText & { tooMany?: string } {
    const known = this.#known[as].get(text);
    this.#count += known?.expressions.length ?? 0;
    const compiled = known ?? this.#compile(text, as);
    this.#known[as].set(text, compiled);
    const { expressionsMax, expressionLettersMax } = planLimits;
    if (this.#isFull || (this.#count <= expressionsMax && this.#letters <= expressionLettersMax)) {
      return compiled;
    }
    this.#isFull = true;
    const bound =
      this.#count > expressionsMax
        ? `${expressionsMax} expressions`
        : `${expressionLettersMax} letters of expressions`;
    return { ...compiled, tooMany: `there are more than ${bound}` };
  }

  /** What has been read. */
  find(text: string, as: 'template' | 'bare'): CompiledText {
    return this.#known[as].get(text) ?? nothing;
  }

  #compile(text: string, as: 'template' | 'bare'): CompiledText {
    // Past the bound nothing more is compiled: the definition is refused as it is.
    if (this.#isFull) return nothing;
    const { parts, problems } = as === 'bare' ? parseWhole(text) : parseTemplate(text);
    const compiled: CompiledText = { problems, secretAt: null, expressions: [] };
    this.#count += problems.length;
    // What has more letters is not even read.
    for (const { span } of problems) {
      this.#letters += Math.min(expressionLimits.lettersMax, span.end - span.start);
    }
    for (const part of parts) {
      if (typeof part === 'string') continue;
      if ('secret' in part) {
        compiled.secretAt ??= text.search(/\$\{\{\s*secrets\./);
        continue;
      }
      const { node, names, start, end, textAt } = part;
      const found = typeOfExpression(node, this.#types);
      if (found.kind === 'mistake') {
        problems.push({ ...found.problem, at: textAt + found.problem.at, span: { start, end } });
      }
      const type = found.kind === 'type' ? found.type : 'any';
      compiled.expressions.push({ names, type, isWhole: parts.length === 1, start, end, textAt });
      this.#letters += end - start;
    }
    this.#count += compiled.expressions.length;
    return compiled;
  }
}
