/** The values that an expression names, in short: for the message that says why it failed. */
import type { Json } from '../core/json.ts';
import { evaluate, type Scope } from './evaluate.ts';
import { ExpressionFailure, Meter } from './limits.ts';
import { childrenOf, type Node } from './node.ts';
import { shorten } from './values.ts';

const shownMax = 5;

/** By the path as it would be written. Secrets are not among them: no expression sees one. */
export function showValues(node: Node, scope: Scope): Record<string, string> {
  const paths = new Map<string, Node>();
  collect(node, paths);
  const shown: [string, string][] = [];
  for (const [path, at] of [...paths].slice(0, shownMax)) shown.push([path, show(at, scope)]);
  return Object.fromEntries(shown);
}

/** The longest paths: of input.a.b neither input.a nor input. */
function collect(node: Node, paths: Map<string, Node>): void {
  const path = pathOf(node);
  if (path !== null) paths.set(path, node);
  else for (const child of childrenOf(node)) collect(child, paths);
}

function pathOf(node: Node): string | null {
  switch (node.kind) {
    case 'input':
    case 'process':
      return node.kind;
    case 'item':
      return node.part === 'value' ? 'item' : 'index';
    case 'status':
      return `${node.name}()`;
    case 'task':
      return `tasks[${JSON.stringify(node.name)}].${node.member}`;
    case 'field': {
      const of = pathOf(node.of);
      if (of === null) return null;
      return /^[A-Za-z_]\w*$/.test(node.key) ? `${of}.${node.key}` : `${of}[${JSON.stringify(node.key)}]`;
    }
    case 'index': {
      const of = pathOf(node.of);
      return of === null || node.key.kind !== 'literal' ? null : `${of}[${JSON.stringify(node.key.value)}]`;
    }
    default:
      return null;
  }
}

function show(node: Node, scope: Scope): string {
  try {
    const value: Json = evaluate(node, scope, { meter: new Meter(), now: 0, random: () => 0 });
    return shorten(value);
  } catch (error) {
    if (error instanceof ExpressionFailure) return '(not there)';
    throw error;
  }
}
