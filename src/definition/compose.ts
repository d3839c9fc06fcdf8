/**
 * Text → one YAML document, within bounds.
 *
 * The parser of `yaml` is driven by hand, lexeme by lexeme, so that what would exhaust it is refused before it
 * does: it recurses into what is nested, and makes an Error with a stack for each thing it stumbles over, of
 * which two megabytes of commas have two million (measured: 4 GB).
 */
import { Composer, type CST, type Document, type ErrorCode, Lexer, Parser } from 'yaml';
import { jsonLimits } from '../core/json.ts';
import { quote } from './problem.ts';
import type { ProblemList } from './problem-list.ts';

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

/** What the parser does not say of the usual mistakes. */
const hints: Partial<Record<ErrorCode, string>> = {
  BLOCK_AS_IMPLICIT_KEY: ': text with ": " in it needs quotes',
  BAD_SCALAR_START: ': such text needs quotes',
};

/** Thrown out of the parser to stop it; what is wrong has been noted. */
class Stop extends Error {}

/** The only document of the text, or null if there are problems. */
export function composeDocument(text: string, problems: ProblemList): Document.Parsed | null {
  const documents: Document.Parsed[] = [];
  try {
    for (const document of readStream(text, problems)) {
      documents.push(document);
      if (documents.length === 1) continue;
      const message = 'a file holds one definition: there is a second document';
      stop(problems, { code: 'unsupported_yaml', offset: document.range[0], message });
    }
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
  }
  return problems.isEmpty ? (documents[0] ?? null) : null;
}

function* readStream(text: string, problems: ProblemList): Generator<Document.Parsed> {
  const composer = new Composer(composerOptions);
  // Private, but the only way to stop the composer at the hundredth error instead of the millionth.
  // biome-ignore lint/complexity/useLiteralKeys: TypeScript lets pass what is private in brackets only.
  composer['onError'] = (source: ErrorSource, code: ErrorCode, message: string, isWarning?: boolean) => {
    if (!isWarning) noteError(problems, offsetOf(source), message + (hints[code] ?? ''));
  };
  for (const token of readTokens(text, problems)) {
    if (token.type === 'error') {
      const source = token.source ? `: ${quote(token.source)}` : '';
      noteError(problems, token.offset, token.message + source);
    } else if (token.type === 'directive' && !/^%YAML\s+1\.2\s*$/.test(token.source)) {
      const message = 'directives other than %YAML 1.2 are not accepted';
      stop(problems, { code: 'unsupported_yaml', offset: token.offset, message });
    } else {
      yield* composer.next(token);
    }
  }
  yield* composer.end(true, text.length);
}

function* readTokens(text: string, problems: ProblemList): Generator<CST.Token> {
  const parser = new Parser();
  let lexemes = 0;
  for (const lexeme of new Lexer().lex(text)) {
    lexemes += 1;
    const { offset } = parser;
    if (lexemes > lexemesMax) {
      const message = `there are more than ${lexemesMax} words and signs`;
      stop(problems, { code: 'too_large', offset, message });
    }
    yield* parser.next(lexeme);
    if (parser.stack.length > depthMax && depthOf(parser.stack) > depthMax) {
      stop(problems, { code: 'too_deep', offset, message: `nested deeper than ${depthMax}` });
    }
  }
  yield* parser.end();
}

function noteError(problems: ProblemList, offset: number, message: string): void {
  note(problems, { code: 'invalid_yaml', offset, message });
  problems.hasStopped = problems.isFull;
  if (problems.hasStopped) throw new Stop();
}

function stop(problems: ProblemList, found: Found): never {
  note(problems, found);
  throw new Stop();
}

interface Found {
  code: string;
  offset: number;
  message: string;
}

function note(problems: ProblemList, { message, ...found }: Found): void {
  const cut = message.length > messageLengthMax ? `${message.slice(0, messageLengthMax)}…` : message;
  problems.add(() => ({ path: [], of: 'key', message: cut, ...found }));
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
