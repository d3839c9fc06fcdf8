/** What can be said of an expression's types before there are values: literals, functions, declared inputs. */
import type { Parameter } from './functions.ts';
import { childrenOf, type Node } from './node.ts';
import type { ExpressionProblem } from './parse.ts';
import { type Kind, kindOf, nameKinds, nameOfKind } from './values.ts';

export type StaticType = Kind | 'any';

/** The types of inputs that are known; of the others nothing is said. */
export type InputTypes = ReadonlyMap<string, StaticType>;

/** What it yields as far as that is known, or the first mistake. */
export function typeOfExpression(
  node: Node,
  inputs: InputTypes,
): { kind: 'type'; type: StaticType } | { kind: 'mistake'; problem: ExpressionProblem } {
  try {
    return { kind: 'type', type: typeOf(node, inputs) };
  } catch (error) {
    if (error instanceof Mistake) return { kind: 'mistake', problem: error.problem };
    throw error;
  }
}

class Mistake extends Error {
  readonly problem: ExpressionProblem;

  constructor(at: number, message: string) {
    super(message);
    this.problem = { code: 'invalid_expression', at, message };
  }
}

function typeOf(node: Node, inputs: InputTypes): StaticType {
  const of = (child: Node) => typeOf(child, inputs);
  const expect = (child: Node, takes: Parameter, what: string) => {
    const type = of(child);
    if (takes === 'any' || type === 'any' || takes.includes(type)) return;
    throw new Mistake(child.at, `${what} takes ${nameKinds(takes)}, not ${nameOfKind(type)}`);
  };
  switch (node.kind) {
    case 'literal':
      return kindOf(node.value);
    case 'input':
    case 'process':
    case 'map':
      for (const child of childrenOf(node)) of(child);
      return 'map';
    case 'list':
      node.items.forEach(of);
      return 'list';
    case 'task':
      return ({ output: 'any', state: 'text', error: 'any', attempts: 'number' } as const)[node.member];
    case 'item':
      return node.part === 'index' ? 'number' : 'any';
    case 'status':
      return 'boolean';
    case 'field':
      expect(node.of, ['map'], `.${node.key}`);
      return node.of.kind === 'input' ? (inputs.get(node.key) ?? 'any') : 'any';
    case 'index':
      expect(node.of, ['map', 'list'], '[…]');
      expect(node.key, ['number', 'text'], '[…]');
      return 'any';
    case 'not':
      expect(node.of, ['boolean'], '!');
      return 'boolean';
    case 'negative':
      expect(node.of, ['number'], '-');
      return 'number';
    case 'and':
    case 'or':
      expect(node.left, ['boolean'], node.kind === 'and' ? '&&' : '||');
      expect(node.right, ['boolean'], node.kind === 'and' ? '&&' : '||');
      return 'boolean';
    case 'choice': {
      expect(node.condition, ['boolean'], '… ? … : …');
      return same(of(node.yes), of(node.no));
    }
    case 'call':
      for (const [index, argument] of node.arguments.entries())
        expect(argument, node.rule.takes[index] ?? 'any', node.name);
      return node.rule.gives;
    case 'default':
      return same(of(node.of), of(node.otherwise));
    case 'has':
      of(node.of);
      return 'boolean';
    case 'loop':
      expect(node.over, ['list', 'map'], node.loop);
      if (node.where) expect(node.where, ['boolean'], `the condition of ${node.loop}`);
      if (node.loop === 'map') of(node.body);
      else expect(node.body, ['boolean'], `the condition of ${node.loop}`);
      return node.loop === 'map' || node.loop === 'filter' ? 'list' : 'boolean';
    case 'binary':
      return typeOfBinary(node, of(node.left), of(node.right));
    default:
      return 'any';
  }
}

function same(one: StaticType, other: StaticType): StaticType {
  return one === other ? one : 'any';
}

function typeOfBinary(
  { operator, right }: Extract<Node, { kind: 'binary' }>,
  one: StaticType,
  other: StaticType,
): StaticType {
  const differ = one !== 'any' && other !== 'any' && one !== other;
  const both = () => `${nameOfKind(one as Kind)} and ${nameOfKind(other as Kind)}`;
  const allow = (kinds: readonly Kind[], hint = '') => {
    for (const type of [one, other]) {
      if (type !== 'any' && !kinds.includes(type))
        throw new Mistake(right.at, `${operator} takes ${nameKinds(kinds)}, not ${nameOfKind(type)}${hint}`);
    }
    if (differ)
      throw new Mistake(
        right.at,
        `${operator} takes two of the same kind, not ${both()}${hintFor(operator)}`,
      );
  };
  switch (operator) {
    case '==':
    case '!=':
      if (differ && one !== 'nothing' && other !== 'nothing')
        throw new Mistake(right.at, `${both()} are never the same`);
      return 'boolean';
    case 'in':
      if (other === 'text') throw new Mistake(right.at, 'in takes a list or a map; of a text use contains');
      if (other !== 'any' && other !== 'list' && other !== 'map')
        throw new Mistake(right.at, `in takes a list or a map, not ${nameOfKind(other)}`);
      return 'boolean';
    case '+':
      allow(['number', 'text', 'list']);
      return one === 'any' ? other : one;
    case '<':
    case '<=':
    case '>':
    case '>=':
      allow(['number', 'text']);
      return 'boolean';
    default:
      allow(['number']);
      return 'number';
  }
}

export function hintFor(operator: string): string {
  return operator === '+' ? '; string(…) makes a text, number(…) a number' : '';
}
