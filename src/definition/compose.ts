/**
 * Text → one YAML document, within bounds.
 *
 * The parser of `yaml` is driven by hand, lexeme by lexeme, so that what would exhaust it is refused before it
 * does: it recurses into what is nested, and makes an Error with a stack for each thing it stumbles over, of
 * which two megabytes of commas have two million (measured: 4 GB).
 */
import { Composer, type CST, type Document, type ErrorCode, Lexer, Parser } from 'yaml';
import { jsonLimits } from '../core/json.ts';
import type { ProblemList } from './problem.ts';

/** The largest definition has 1.2 million; so many take the parser two seconds. */
const lexemesMax = 1_500_000;

const depthMax = jsonLimits.depthMax;

const messageLengthMax = 200;

const composerOptions = {
  version: '1.2',
  schema: 'core',
  merge: false,
  resolveKnownTags: false,
  stringKeys: true,
  // Compares each key with every other; we look for them ourselves.
  uniqueKeys: false,
  logLevel: 'silent',
} as const;

/** Where the composer says that an error is. */
type ErrorSource = number | [start: number, end: number] | { offset: number };

/** Thrown out of the parser to stop it; what is wrong has been noted. */
class Stop extends Error {}

/** The only document of the text, or null if there are problems. */
export function composeDocument(text: string, problems: ProblemList): Document.Parsed | null {
  const note = (code: string, offset: number, message: string) =>
    problems.add({ path: [], of: 'key', code, message: cut(message) }, () => ({ offset }));
  const composer = new Composer(composerOptions);
  // Private, but the only way to stop the composer at the hundredth error instead of the millionth.
  composer['onError'] = (source: ErrorSource, _code: ErrorCode, message: string, isWarning?: boolean) => {
    if (isWarning) return;
    note('invalid_yaml', offsetOf(source), message);
    if (problems.isFull) throw new Stop();
  };

  const documents: Document.Parsed[] = [];
  const take = (token: CST.Token) => {
    if (token.type === 'directive' && !/^%YAML\s+1\.2\s*(#.*)?$/.test(token.source.trim())) {
      note('unsupported_yaml', token.offset, 'directives other than %YAML 1.2 are not accepted');
      throw new Stop();
    }
    if (token.type === 'error') {
      const source = token.source ? `: ${JSON.stringify(token.source)}` : '';
      note('invalid_yaml', token.offset, token.message.includes('\n') ? 'not YAML' : token.message + source);
      if (problems.isFull) throw new Stop();
      return;
    }
    for (const document of composer.next(token)) add(document);
  };
  const add = (document: Document.Parsed) => {
    documents.push(document);
    if (documents.length === 1) return;
    note('unsupported_yaml', document.range[0], 'a file holds one definition: there is a second document');
    throw new Stop();
  };

  try {
    const parser = new Parser();
    let lexemes = 0;
    for (const lexeme of new Lexer().lex(text)) {
      lexemes += 1;
      if (lexemes > lexemesMax) {
        note('too_large', parser.offset, `there are more than ${lexemesMax} words and signs`);
        throw new Stop();
      }
      for (const token of parser.next(lexeme)) take(token);
      if (parser.stack.length > depthMax && depthOf(parser.stack) > depthMax) {
        note('too_deep', parser.offset, `nested deeper than ${depthMax}`);
        throw new Stop();
      }
    }
    for (const token of parser.end()) take(token);
    for (const document of composer.end(true, text.length)) add(document);
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
  }
  return problems.count === 0 ? (documents[0] ?? null) : null;
}

function depthOf(stack: CST.Token[]): number {
  return stack.filter(
    ({ type }) => type === 'block-map' || type === 'block-seq' || type === 'flow-collection',
  ).length;
}

function offsetOf(source: ErrorSource): number {
  if (typeof source === 'number') return source;
  return Array.isArray(source) ? source[0] : source.offset;
}

function cut(message: string): string {
  return message.length > messageLengthMax ? `${message.slice(0, messageLengthMax)}…` : message;
}
