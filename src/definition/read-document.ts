/**
 * A YAML document → a JSON value and where each part of it stands.
 *
 * Refused is what would not arrive as it was written: what Postgres cannot store, whole numbers that a double
 * rounds, keys that JavaScript takes for something else, and the parts of YAML that readers stumble over (merge
 * keys, tags). Aliases are followed, within bounds: their value is shared, never copied.
 */
import { type Alias, type Document, isAlias, isMap, isScalar, isSeq, type Node, type Pair } from 'yaml';
import { findTextProblem, type Json, jsonLimits } from '../core/json.ts';
import type { Finding, Path, ProblemList } from './problem.ts';

/** Values in all, those behind each alias counted again. */
const valuesMax = 500_000;
const aliasesMax = 1_000;

export interface DefinitionDocument {
  value: Json;
  /** Where the value (or key) at this path begins; if there is none, what would hold it. */
  offsetOf: (path: Path, of?: Finding['of']) => number;
}

interface Read {
  value: Json;
  /** Values in it, itself included, and how deep they nest. */
  size: number;
  depth: number;
}

export function readDocument(document: Document.Parsed, problems: ProblemList): DefinitionDocument {
  const reader = new Reader(problems);
  const { value } = reader.read(document.contents, { path: [], offset: 0, depth: 1 });
  return {
    value,
    offsetOf: (path, of) => offsetOf(document.contents, path, { of, targets: reader.targets }),
  };
}

interface Where {
  path: Path;
  /** Of what is empty. */
  offset: number;
  depth: number;
}

const nothing: Read = { value: null, size: 1, depth: 1 };

class Reader {
  /** What each alias stands for. */
  readonly targets = new Map<Node, Node>();
  readonly #anchors = new Map<string, { node: Node; read: Read | null }>();
  readonly #problems: ProblemList;
  #values = 0;

  constructor(problems: ProblemList) {
    this.#problems = problems;
  }

  read(node: Node | null, { path, offset: emptyOffset, depth }: Where): Read {
    const offset = node?.range?.[0] ?? emptyOffset;
    this.#values += 1;
    if (this.#values > valuesMax) {
      this.#refuse({ path, code: 'too_large', message: `there are more than ${valuesMax} values` }, offset);
      return nothing;
    }
    if (depth > jsonLimits.depthMax) {
      this.#refuse({ path, code: 'too_deep', message: `nested deeper than ${jsonLimits.depthMax}` }, offset);
      return nothing;
    }
    if (node === null) return nothing;
    if (isAlias(node)) return this.#readAlias(node, { path, offset, depth });
    if (node.tag !== undefined && !coreTags.has(node.tag)) {
      this.#refuse(
        { path, code: 'unsupported_yaml', message: `the tag ${node.tag} is not accepted` },
        offset,
      );
    }
    const anchor = 'anchor' in node ? (node.anchor as string | undefined) : undefined;
    const holder = { node, read: null as Read | null };
    if (anchor !== undefined) this.#anchors.set(anchor, holder);
    holder.read = this.#readValue(node, { path, offset, depth });
    return holder.read;
  }

  #readValue(node: Node, where: Where): Read {
    if (isMap(node)) return this.#readMap(node.items as Pair<Node, Node | null>[], where);
    if (isSeq(node)) {
      const value: Json[] = [];
      let size = 1;
      let depth = 0;
      for (const [index, item] of (node.items as Node[]).entries()) {
        if (this.#values > valuesMax) break;
        const path = [...where.path, index];
        const read = this.read(item, { path, offset: where.offset, depth: where.depth + 1 });
        value.push(read.value);
        size += read.size;
        depth = Math.max(depth, read.depth);
      }
      return { value, size, depth: depth + 1 };
    }
    if (isScalar(node)) return { ...nothing, value: this.#readScalar(node.value, node.source ?? '', where) };
    return nothing;
  }

  #readMap(pairs: Pair<Node, Node | null>[], where: Where): Read {
    const value: { [key: string]: Json } = {};
    const offsets = new Map<string, number>();
    let size = 1;
    let depth = 0;
    for (const pair of pairs) {
      if (this.#values > valuesMax) break;
      const key = isScalar(pair.key) ? String(pair.key.value) : '';
      const path = [...where.path, key];
      const offset = pair.key.range?.[0] ?? where.offset;
      const first = offsets.get(key);
      if (first !== undefined) {
        this.#refuse(
          {
            path,
            of: 'key',
            code: 'duplicate_key',
            message: `the key ${JSON.stringify(key)} is there twice`,
          },
          offset,
          { offset: first, message: 'first here' },
        );
        continue;
      }
      offsets.set(key, offset);
      const bad = findKeyProblem(key, pair.key);
      if (bad) {
        this.#refuse({ path, of: 'key', ...bad }, offset);
        continue;
      }
      const read = this.read(pair.value, { path, offset, depth: where.depth + 1 });
      value[key] = read.value;
      size += read.size;
      depth = Math.max(depth, read.depth);
    }
    return { value, size, depth: depth + 1 };
  }

  #readScalar(value: unknown, source: string, { path, offset }: Where): Json {
    if (typeof value === 'string') {
      const bad = findTextProblem(value);
      if (bad) this.#refuse({ path, code: 'unstorable_value', message: `has ${bad}` }, offset);
      return value;
    }
    if (typeof value === 'number') {
      if (!Number.isFinite(value)) {
        const message = `${source} is not a number that JSON can hold`;
        this.#refuse({ path, code: 'unstorable_value', message }, offset);
      } else if (/^([-+]?\d+|0[xo].*)$/.test(source) && !Number.isSafeInteger(value)) {
        const message = `a whole number beyond ${Number.MAX_SAFE_INTEGER} would be rounded: write it in quotes`;
        this.#refuse({ path, code: 'inexact_number', message }, offset);
      }
      return value;
    }
    return typeof value === 'boolean' ? value : null;
  }

  #readAlias(alias: Alias, { path, offset, depth }: Where): Read {
    const refuse = (code: string, message: string) => {
      this.#refuse({ path, code, message }, offset);
      return nothing;
    };
    const target = this.#anchors.get(alias.source);
    if (target === undefined) return refuse('unknown_alias', `there is no anchor &${alias.source} above`);
    const { node, read } = target;
    if (read === null) return refuse('unknown_alias', `the alias *${alias.source} stands within itself`);
    if (this.targets.size === aliasesMax) {
      return refuse('too_many_aliases', `there are more than ${aliasesMax} aliases`);
    }
    this.targets.set(alias, node);
    this.#values += read.size - 1;
    if (this.#values > valuesMax) return refuse('too_large', `there are more than ${valuesMax} values`);
    if (depth + read.depth - 1 > jsonLimits.depthMax) {
      return refuse('too_deep', `nested deeper than ${jsonLimits.depthMax}`);
    }
    return read;
  }

  #refuse(finding: Finding, offset: number, related?: { offset: number; message: string }): void {
    if (related === undefined) return this.#problems.add(finding, () => ({ offset }));
    const { message } = related;
    this.#problems.add({ ...finding, related: [{ path: finding.path, message }] }, () => ({
      offset,
      relatedOffsets: [related.offset],
    }));
  }
}

/** What every reader of YAML 1.2 knows; `!` alone says "as it would be without". */
const coreTags = new Set([
  '!',
  ...['str', 'int', 'float', 'bool', 'null', 'map', 'seq'].map((name) => `tag:yaml.org,2002:${name}`),
]);

function findKeyProblem(key: string, node: Node): { code: string; message: string } | null {
  // Assigned, it would change what the map is instead of what it holds.
  if (key === '__proto__')
    return { code: 'unstorable_value', message: 'the key "__proto__" is not accepted' };
  const bad = findTextProblem(key);
  if (bad) return { code: 'unstorable_value', message: `a key has ${bad}` };
  if (key === '<<' && isScalar(node) && node.type === 'PLAIN') {
    return { code: 'unsupported_yaml', message: 'merge keys (<<) are not accepted: use "defaults"' };
  }
  return null;
}

function offsetOf(
  root: Node | null,
  path: Path,
  { of = 'value', targets }: { of: Finding['of']; targets: Map<Node, Node> },
): number {
  const steps = of === 'map' ? path.slice(0, -1) : path;
  let node = root;
  let offset = root?.range?.[0] ?? 0;
  for (const [index, step] of steps.entries()) {
    const holder = node && (targets.get(node) ?? node);
    let next: Node | null;
    if (isSeq(holder)) {
      next = (holder.items[Number(step)] as Node | undefined) ?? null;
    } else if (isMap(holder)) {
      const pair = (holder.items as Pair<Node, Node | null>[]).find(
        ({ key }) => isScalar(key) && String(key.value) === String(step),
      );
      if (pair === undefined) break;
      offset = pair.key.range?.[0] ?? offset;
      if (of === 'key' && index === steps.length - 1) break;
      next = pair.value;
    } else {
      break;
    }
    node = next;
    if (node === null) break;
    offset = node.range?.[0] ?? offset;
  }
  return offset;
}
