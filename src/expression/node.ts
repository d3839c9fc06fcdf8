/** An expression as a tree: what parse.ts makes, and all that the others read. */
import type { Json } from '../core/json.ts';
import type { FunctionRule } from './functions.ts';

/** Offsets in the text of the expression. */
export interface Span {
  at: number;
  end: number;
}

export type BinaryOperator = '==' | '!=' | 'in' | '+' | '-' | '*' | '/' | '%' | '<' | '<=' | '>' | '>=';
export type Loop = 'map' | 'filter' | 'all' | 'exists' | 'exists_one';

export const taskMembers = ['output', 'state', 'error', 'attempts'] as const;
export type TaskMember = (typeof taskMembers)[number];
export const processMembers = ['id', 'definition', 'version'] as const;

/** How what a task follows from has ended: functions without arguments, in conditions only. */
export const statusFunctions = ['always', 'failure', 'success', 'cancelled'] as const;
export type StatusFunction = (typeof statusFunctions)[number];

export type Node = Span &
  (
    | { kind: 'literal'; value: Json }
    | { kind: 'input' }
    | { kind: 'process' }
    | { kind: 'task'; name: string; member: TaskMember }
    | { kind: 'item'; part: 'value' | 'index' }
    | { kind: 'status'; name: StatusFunction }
    | { kind: 'variable'; name: string }
    | { kind: 'field'; of: Node; key: string }
    | { kind: 'index'; of: Node; key: Node }
    | { kind: 'list'; items: Node[] }
    | { kind: 'map'; entries: [Node, Node][] }
    | { kind: 'not' | 'negative'; of: Node }
    | { kind: 'binary'; operator: BinaryOperator; left: Node; right: Node }
    | { kind: 'and' | 'or'; left: Node; right: Node }
    | { kind: 'choice'; condition: Node; yes: Node; no: Node }
    | { kind: 'call'; name: string; rule: FunctionRule; arguments: Node[] }
    | { kind: 'default'; of: Node; otherwise: Node }
    | { kind: 'has'; of: Node }
    | { kind: 'loop'; loop: Loop; over: Node; variable: string; where: Node | null; body: Node }
  );

/** The nodes directly below. */
export function childrenOf(node: Node): Node[] {
  switch (node.kind) {
    case 'field':
    case 'not':
    case 'negative':
    case 'has':
      return [node.of];
    case 'index':
      return [node.of, node.key];
    case 'list':
      return node.items;
    case 'map':
      return node.entries.flat();
    case 'binary':
    case 'and':
    case 'or':
      return [node.left, node.right];
    case 'choice':
      return [node.condition, node.yes, node.no];
    case 'call':
      return node.arguments;
    case 'default':
      return [node.of, node.otherwise];
    case 'loop':
      return [node.over, ...(node.where ? [node.where] : []), node.body];
    default:
      return [];
  }
}
