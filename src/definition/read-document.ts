/**
 * A YAML document → a JSON value and where each part of it stands.
 *
 * Refused is what would not arrive as it was written: what Postgres cannot store, whole numbers that a double
 * rounds, keys that JavaScript takes for something else, and the parts of YAML that readers stumble over (merge
 * keys, tags). Aliases are followed: their value is shared, never copied, and counted as if it were.
 */
import { type Alias, type Document, isAlias, isMap, isScalar, isSeq, type Node, type Pair } from 'yaml';
import { findTextProblem, type Json, jsonLimits } from '../core/json.ts';
import { planLimits } from '../core/plan.ts';
import { isExact } from './exact-number.ts';
import { locate, locateWithin } from './locate.ts';
import { type Part, type Path, quote, type Within } from './problem.ts';
import type { ProblemList } from './problem-list.ts';

/** Of the whole document, what stands behind an alias counted each time. */
const valuesMax = 500_000;
const lettersMax = 2 * planLimits.sourceBytesMax;
const aliasesMax = 1_000;
/** YAML's own bound where a key stands before its colon; the form with `?` has none. */
const keyLengthMax = 1_024;

export interface DefinitionDocument {
  value: Json;
  /** Whether there is a value at this path. */
  has: (path: Path) => boolean;
  /** Where the value (or key) at this path begins; if there is none, what would hold it. */
  offsetOf: (path: Path, of?: Part) => number;
  /** Where a part of the text value at this path stands, or the value. */
  offsetWithin: (path: Path, within: Within, source: string) => number;
}

/** Null if the document is so large that reading stopped. */
export function readDocument(document: Document.Parsed, problems: ProblemList): DefinitionDocument | null {
  const reader = new Reader(problems);
  const { value } = reader.read(document.contents, { path: [], offset: 0, depth: 1 });
  if (reader.isTooLarge) return null;
  const offsetOf: DefinitionDocument['offsetOf'] = (path, of) =>
    locate(document.contents, path, { of, targets: reader.targets });
  const offsetWithin: DefinitionDocument['offsetWithin'] = (path, within, source) =>
    locateWithin(document.contents, path, { within, source, targets: reader.targets });
  const has: DefinitionDocument['has'] = (path) => {
    let at: Json | undefined = value;
    for (const part of path) {
      if (typeof at !== 'object' || at === null || !Object.hasOwn(at, part)) return false;
      at = (at as Record<string | number, Json>)[part];
    }
    return true;
  };
  return { value, has, offsetOf, offsetWithin };
}

interface Read {
  value: Json;
  /** Values in it, itself included; how deep they nest; letters of all texts and keys. */
  values: number;
  depth: number;
  letters: number;
}

interface Where {
  path: Path;
  /** Of what is empty. */
  offset: number;
  depth: number;
}

const nothing: Read = { value: null, values: 1, depth: 1, letters: 0 };

class Reader {
  /** What each alias stands for. */
  readonly targets = new Map<Node, Node>();
  isTooLarge = false;
  readonly #anchors = new Map<string, { node: Node; read: Read | null }>();
  readonly #problems: ProblemList;
  #values = 0;
  #letters = 0;

  constructor(problems: ProblemList) {
    this.#problems = problems;
  }

  read(node: Node | null, { path, offset: emptyOffset, depth }: Where): Read {
    const where = { path, offset: node?.range?.[0] ?? emptyOffset, depth };
    if (depth > jsonLimits.depthMax) return this.#refuseDepth(where);
    this.#grow({ values: 1, letters: 0 }, where);
    if (node === null || this.isTooLarge) return nothing;
    if (isAlias(node)) return this.#readAlias(node, where);
    if (node.tag !== undefined && !coreTags.has(node.tag)) {
      // `!failure()`, as people write it who do not know that YAML has tags.
      const hint = node.tag.includes('(') ? ': an expression that begins with "!" needs quotes' : '';
      this.#refuse('unsupported_yaml', `the tag ${quote(node.tag)} is not accepted${hint}`, where);
    }
    const anchored = { node, read: null as Read | null };
    if ('anchor' in node && node.anchor !== undefined) this.#anchors.set(String(node.anchor), anchored);
    anchored.read = this.#readValue(node, where);
    return anchored.read;
  }

  #readValue(node: Node, where: Where): Read {
    if (isMap(node)) return this.#readMap(node.items as Pair<Node, Node | null>[], where);
    if (isSeq(node)) return this.#readList(node.items as Node[], where);
    if (isScalar(node)) return this.#readScalar(node.value, node.source ?? '', where);
    return nothing;
  }

  #readList(items: Node[], { path, offset, depth }: Where): Read {
    const value: Json[] = [];
    const sum = { values: 1, depth: 1, letters: 0 };
    for (const [index, item] of items.entries()) {
      if (this.isTooLarge) break;
      const read = this.read(item, { path: [...path, index], offset, depth: depth + 1 });
      value.push(read.value);
      addTo(sum, read);
    }
    return { value, ...sum };
  }

  #readMap(pairs: Pair<Node, Node | null>[], where: Where): Read {
    const value: { [key: string]: Json } = {};
    const sum = { values: 1, depth: 1, letters: 0 };
    const offsets = new Map<string, number>();
    for (const pair of pairs) {
      if (this.isTooLarge) break;
      const key = isScalar(pair.key) ? String(pair.key.value) : '';
      const at = {
        path: [...where.path, key],
        offset: pair.key.range?.[0] ?? where.offset,
        depth: where.depth + 1,
      };
      if (this.#refuseKey(key, pair.key, { ...at, first: offsets.get(key) })) continue;
      offsets.set(key, at.offset);
      this.#grow({ values: 0, letters: key.length }, at);
      sum.letters += key.length;
      const read = this.read(pair.value, at);
      value[key] = read.value;
      addTo(sum, read);
    }
    return { value, ...sum };
  }

  #readScalar(value: unknown, source: string, where: Where): Read {
    if (typeof value === 'string') {
      const bad = findTextProblem(value);
      if (bad) this.#refuse('unstorable_value', `this text has ${bad}`, where);
      this.#grow({ values: 0, letters: value.length }, where);
      return { ...nothing, value, letters: value.length };
    }
    if (typeof value === 'number') {
      if (!Number.isFinite(value)) {
        this.#refuse('unstorable_value', `${source.slice(0, 40)} is not a number that JSON can hold`, where);
      } else if (!isExact(source, value)) {
        const message = `so large a number would be rounded to ${value}: write it in quotes`;
        this.#refuse('inexact_number', message, where);
      }
      return { ...nothing, value };
    }
    return typeof value === 'boolean' ? { ...nothing, value } : nothing;
  }

  #readAlias(alias: Alias, where: Where): Read {
    const anchored = this.#anchors.get(alias.source);
    const name = quote(alias.source);
    if (anchored === undefined) {
      return this.#refuse('unknown_alias', `there is no anchor ${name} above`, where);
    }
    const { node, read } = anchored;
    if (read === null) return this.#refuse('unknown_alias', `the alias ${name} stands within itself`, where);
    if (this.targets.size === aliasesMax) {
      return this.#refuse('too_many_aliases', `there are more than ${aliasesMax} aliases`, where);
    }
    this.targets.set(alias, node);
    if (where.depth + read.depth - 1 > jsonLimits.depthMax) return this.#refuseDepth(where);
    // The alias itself was counted.
    this.#grow({ values: read.values - 1, letters: read.letters }, where);
    return read;
  }

  /** Whether the pair is left out. */
  #refuseKey(
    key: string,
    node: Node,
    { path, offset, first }: Where & { first: number | undefined },
  ): boolean {
    const refuse = (code: string, message: string, related: { offset: number; message: string }[] = []) => {
      this.#problems.add(() => ({ path, of: 'key', code, message, offset, related }));
      return true;
    };
    if (first !== undefined) {
      const related = [{ offset: first, message: 'the first is here' }];
      return refuse('duplicate_key', `the key ${quote(key)} is there twice`, related);
    }
    if (key.length > keyLengthMax)
      return refuse('too_large', `this key has more than ${keyLengthMax} letters`);
    // Assigned, it would change what the map is instead of what it holds.
    if (key === '__proto__') return refuse('unstorable_value', 'the key "__proto__" is not accepted');
    const bad = findTextProblem(key);
    if (bad) return refuse('unstorable_value', `this key has ${bad}`);
    if (key === '<<' && isScalar(node) && node.type === 'PLAIN') {
      return refuse('unsupported_yaml', 'merge keys (<<) are not accepted: use "defaults"');
    }
    return false;
  }

  #grow({ values, letters }: { values: number; letters: number }, where: Where): void {
    if (this.isTooLarge) return;
    this.#values += values;
    this.#letters += letters;
    this.isTooLarge = this.#values > valuesMax || this.#letters > lettersMax;
    if (!this.isTooLarge) return;
    const bound = this.#values > valuesMax ? `${valuesMax} values` : `${lettersMax} letters`;
    this.#refuse('too_large', `there are more than ${bound}, with aliases written out`, where);
  }

  #refuseDepth(where: Where): Read {
    return this.#refuse('too_deep', `nested deeper than ${jsonLimits.depthMax}`, where);
  }

  #refuse(code: string, message: string, { path, offset }: Where): Read {
    this.#problems.add(() => ({ path, code, message, offset }));
    return nothing;
  }
}

function addTo(sum: { values: number; depth: number; letters: number }, read: Read): void {
  sum.values += read.values;
  sum.depth = Math.max(sum.depth, read.depth + 1);
  sum.letters += read.letters;
}

/** What every reader of YAML 1.2 knows; `!` alone says "as it would be without". */
const coreTags = new Set([
  '!',
  ...['str', 'int', 'float', 'bool', 'null', 'map', 'seq'].map((name) => `tag:yaml.org,2002:${name}`),
]);
