/**
 * Text → tree. The syntax is CEL, read by `@marcbachmann/cel-js`; names, functions and literals are judged here, so
 * that nothing but what is known is left to evaluate.
 */
import { type ASTNode, Environment, ParseError } from '@marcbachmann/cel-js';
import type { Json } from '../core/json.ts';
import { type FunctionRule, functionRules } from './functions.ts';
import { expressionLimits } from './limits.ts';
import {
  type BinaryOperator,
  type Loop,
  type Node,
  processMembers,
  type Span,
  type StatusFunction,
  statusFunctions,
  type TaskMember,
  taskMembers,
} from './node.ts';

export interface ExpressionProblem {
  code: 'invalid_expression' | 'unknown_name' | 'misplaced_secret' | 'too_large';
  /** Offset in the text of the expression. */
  at: number;
  message: string;
  /** What was written, and what it may have been meant for. */
  near?: { word: string; candidates: readonly string[] };
}

export type Parsed =
  | { kind: 'expression'; node: Node; names: Names }
  | { kind: 'problem'; problem: ExpressionProblem };

/** What an expression asks for by name; whether it is there, or may be asked for, is for the definition to say. */
export interface Names {
  inputs: { name: string; at: number }[];
  tasks: { name: string; at: number; member: TaskMember }[];
  items: { name: ItemName; at: number }[];
  statuses: { name: StatusFunction; at: number }[];
}

/** The names that only a task with `each` or `matrix` has. */
export const itemNames = ['item', 'index'] as const;
export type ItemName = (typeof itemNames)[number];

const { nodesMax, depthMax, lettersMax } = expressionLimits;

const cel = new Environment({
  limits: {
    maxAstNodes: nodesMax,
    maxDepth: depthMax,
    maxListElements: nodesMax,
    maxMapEntries: nodesMax,
    maxCallArguments: 32,
  },
});

export function parseExpression(text: string): Parsed {
  if (text.length > lettersMax) {
    const message = `the expression has more than ${lettersMax} letters`;
    return { kind: 'problem', problem: { code: 'too_large', at: 0, message } };
  }
  if (text.trim() === '') {
    const message = 'the expression is empty';
    return { kind: 'problem', problem: { code: 'invalid_expression', at: 0, message } };
  }
  try {
    const reader = new Reader(text);
    const node = reader.read(cel.parse(text).ast, 1);
    return { kind: 'expression', node, names: reader.names };
  } catch (error) {
    if (error instanceof Refused) return { kind: 'problem', problem: error.problem };
    if (error instanceof ParseError) return { kind: 'problem', problem: syntaxProblem(error, text) };
    throw error;
  }
}

class Refused extends Error {
  readonly problem: ExpressionProblem;

  constructor(problem: ExpressionProblem) {
    super(problem.message);
    this.problem = problem;
  }
}

function refuse(at: number, message: string, more: Partial<ExpressionProblem> = {}): never {
  throw new Refused({ code: 'invalid_expression', at, message, ...more });
}

function syntaxProblem(error: ParseError, text: string): ExpressionProblem {
  const at = Math.min(error.range?.start ?? 0, text.length);
  if (error.code === 'limit_exceeded') {
    const message = `the expression is too large: it may have ${nodesMax} parts, nested ${depthMax} deep`;
    return { code: 'too_large', at, message };
  }
  const ends = /EOF|Unterminated/.test(error.summary) ? 'it ends too early' : 'this was not expected';
  const message = `the expression cannot be read: ${ends} (${error.summary})`;
  return { code: 'invalid_expression', at, message };
}

const roots = ['input', 'tasks', 'process'] as const;
const loops = new Set<string>(['map', 'filter', 'all', 'exists', 'exists_one']);
const isStatus = (name: string): name is StatusFunction =>
  (statusFunctions as readonly string[]).includes(name);
const functionNames = [...functionRules.keys(), ...loops, ...statusFunctions, 'default', 'has'];

/** One expression. It recurses: `cel` and `depthMax` bound how deep. */
class Reader {
  readonly names: Names = { inputs: [], tasks: [], items: [], statuses: [] };
  readonly #text: string;
  readonly #variables: string[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  read(ast: ASTNode, depth: number): Node {
    const { start: at, end } = ast;
    // Chains such as a + b + c lean to the left: each sign is one deeper.
    if (depth > 4 * depthMax) {
      refuse(at, `the expression is nested deeper than ${4 * depthMax}`, { code: 'too_large' });
    }
    const read = (child: ASTNode) => this.read(child, depth + 1);
    switch (ast.op) {
      case 'value':
        return { kind: 'literal', value: this.#literal(ast.args, at), at, end };
      case 'id':
        return this.#name(ast.args, { at, end });
      case '.':
        return this.#access(ast.args[0], { key: ast.args[1], keyAt: ast.pos }, { at, end }, read);
      case '[]': {
        const [of, key] = ast.args;
        if (key.op === 'value' && typeof key.args === 'string')
          return this.#access(of, { key: key.args, keyAt: key.start }, { at, end }, read);
        if (isTasks(of)) refuse(key.start, 'tasks[…] takes the name of a task, in quotes');
        return { kind: 'index', of: read(of), key: read(key), at, end };
      }
      case 'list':
        return { kind: 'list', items: ast.args.map(read), at, end };
      case 'map':
        return {
          kind: 'map',
          entries: ast.args.map(([key, value]) => [this.#mapKey(key, read), read(value)]),
          at,
          end,
        };
      case '!_':
        return { kind: 'not', of: read(ast.args), at, end };
      case '-_':
        return { kind: 'negative', of: read(ast.args), at, end };
      case '&&':
      case '||': {
        const kind = ast.op === '&&' ? 'and' : 'or';
        return { kind, left: read(ast.args[0]), right: read(ast.args[1]), at, end };
      }
      case '?:': {
        const [condition, yes, no] = ast.args;
        return { kind: 'choice', condition: read(condition), yes: read(yes), no: read(no), at, end };
      }
      case 'call':
        return this.#call(ast.args[0], ast.args[1], { at, end }, read);
      case 'rcall': {
        const [name, receiver, given] = ast.args;
        if (loops.has(name)) return this.#loop(name as Loop, receiver, given, { at, end }, read);
        return this.#call(name, [receiver, ...given], { at, end }, read);
      }
      case '.?':
      case '[?]':
        return refuse(at, 'optional access is not known here: write default(…, …) or has(…)');
      default:
        return {
          kind: 'binary',
          operator: ast.op as BinaryOperator,
          left: read(ast.args[0]),
          right: read(ast.args[1]),
          at,
          end,
        };
    }
  }

  #literal(value: unknown, at: number): Json {
    if (typeof value === 'bigint') {
      if (Number.isSafeInteger(Number(value))) return Number(value);
      refuse(at, `so large a number would be rounded to ${Number(value)}`);
    }
    if (typeof value === 'object' && value !== null) {
      return refuse(at, 'only texts, numbers, true, false and null can be written here: no 1u, no b"…"');
    }
    return value as Json;
  }

  #name(name: string, { at, end }: Span): Node {
    if (this.#variables.includes(name)) return { kind: 'variable', name, at, end };
    switch (name) {
      case 'input':
        return { kind: 'input', at, end };
      case 'process':
        return { kind: 'process', at, end };
      case 'tasks':
        return refuse(at, 'say of which task, and what: tasks["Name"].output, .state, .error or .attempts');
      case 'secrets':
        return refuseSecret(at);
      case 'item':
      case 'index':
        this.names.items.push({ name, at });
        return { kind: 'item', part: name === 'item' ? 'value' : 'index', at, end };
      default: {
        const calls = statusFunctions.map((call) => `${call}()`);
        const candidates = [...roots, ...itemNames, ...calls, ...this.#variables];
        const message = `there is no ${JSON.stringify(name)} here: expressions know ${roots.join(', ')}`;
        return refuse(at, message, { code: 'unknown_name', near: { word: name, candidates } });
      }
    }
  }

  #access(
    of: ASTNode,
    { key, keyAt }: { key: string; keyAt: number },
    span: Span,
    read: (child: ASTNode) => Node,
  ): Node {
    if (of.op === 'id' && of.args === 'secrets' && !this.#variables.includes('secrets'))
      refuseSecret(of.start);
    if (isTasks(of)) {
      return refuse(span.end, `say what of the task: ${taskMembers.map((each) => `.${each}`).join(', ')}`);
    }
    const task = taskNameOf(of);
    if (task !== null) {
      const { name, at } = task;
      const member = checkMember(key, keyAt, taskMembers, 'a task');
      this.names.tasks.push({ name, at, member });
      return { kind: 'task', name, member, ...span };
    }
    const node = read(of);
    if (node.kind === 'input') this.names.inputs.push({ name: key, at: keyAt });
    if (node.kind === 'process') checkMember(key, keyAt, processMembers, 'the process');
    return { kind: 'field', of: node, key, ...span };
  }

  /** `{name: …}` would ask for the value of `name`: as in JavaScript, it is the key. */
  #mapKey(key: ASTNode, read: (child: ASTNode) => Node): Node {
    const { start: at, end } = key;
    const node: Node =
      key.op === 'id' && !this.#variables.includes(key.args)
        ? { kind: 'literal', value: key.args, at, end }
        : read(key);
    if (node.kind === 'literal' && node.value === '__proto__')
      refuse(at, 'the key "__proto__" is not accepted');
    if (node.kind === 'literal' && typeof node.value !== 'string') refuse(at, 'the keys of a map are texts');
    return node;
  }

  #call(name: string, given: ASTNode[], span: Span, read: (child: ASTNode) => Node): Node {
    if (name === 'matches') {
      refuse(
        span.at,
        'regular expressions are not accepted, for some take for ever: use contains, startsWith, endsWith or split',
      );
    }
    if (loops.has(name)) refuse(span.at, `${name} is called on a list: list.${name}(x, …)`);
    const rule = functionRules.get(name) ?? (name === 'default' || name === 'has' ? name : undefined);
    if (isStatus(name)) {
      if (given.length > 0) refuse(span.at, `${name}() takes no values`);
      this.names.statuses.push({ name, at: span.at });
      return { kind: 'status', name, ...span };
    }
    if (rule === undefined) return this.#refuseFunction(name, span);
    const [least, most] = rule === 'default' ? [2, 2] : rule === 'has' ? [1, 1] : arityOf(rule);
    if (given.length < least || given.length > most) {
      const takes = least === most ? `${least}` : `${least} to ${most}`;
      refuse(span.at, `${name} takes ${takes} ${most === 1 ? 'value' : 'values'}, not ${given.length}`);
    }
    const args = given.map(read);
    const [first, second] = args as [Node, Node];
    if (rule === 'default') return { kind: 'default', of: first, otherwise: second, ...span };
    if (rule !== 'has') return { kind: 'call', name, rule, arguments: args, ...span };
    if (first.kind !== 'field' && first.kind !== 'index' && first.kind !== 'task')
      refuse(first.at, 'has(…) takes what may be there or not: has(input.a)');
    return { kind: 'has', of: first, ...span };
  }

  #refuseFunction(name: string, { at }: Span): never {
    // A receiver comes first.
    const found = this.#text.indexOf(name, at);
    return refuse(found < 0 ? at : found, `there is no function ${JSON.stringify(name)}`, {
      code: 'unknown_name',
      near: { word: name, candidates: functionNames },
    });
  }

  #loop(loop: Loop, receiver: ASTNode, given: ASTNode[], span: Span, read: (child: ASTNode) => Node): Node {
    const most = loop === 'map' ? 3 : 2;
    if (given.length < 2 || given.length > most)
      refuse(span.at, `${loop} takes a name and an expression: list.${loop}(x, …)`);
    const over = read(receiver);
    const [variable, ...bodies] = given as [ASTNode, ...ASTNode[]];
    if (variable.op !== 'id') return refuse(variable.start, `${loop} takes a name first: list.${loop}(x, …)`);
    const name = variable.args;
    if ((roots as readonly string[]).includes(name) || name === 'secrets' || this.#variables.includes(name))
      refuse(variable.start, `the name "${name}" is taken`);
    this.#variables.push(name);
    const read2 = bodies.map(read);
    this.#variables.pop();
    const where = read2.length === 2 ? (read2[0] as Node) : null;
    return { kind: 'loop', loop, over, variable: name, where, body: read2.at(-1) as Node, ...span };
  }
}

function arityOf({ takes, optional = 0 }: FunctionRule): [number, number] {
  return [takes.length - optional, takes.length];
}

function refuseSecret(at: number): never {
  const message =
    'a secret stands alone, as ${{ secrets.NAME }}: it is put in where the task runs, and no expression sees it';
  return refuse(at, message, { code: 'misplaced_secret' });
}

function isTasks(ast: ASTNode): boolean {
  return ast.op === 'id' && ast.args === 'tasks';
}

/** Of `tasks.Name` and `tasks["Name"]`. */
function taskNameOf(ast: ASTNode): { name: string; at: number } | null {
  if (ast.op === '.' && isTasks(ast.args[0])) return { name: ast.args[1], at: ast.pos };
  if (ast.op !== '[]' || !isTasks(ast.args[0])) return null;
  const key = ast.args[1];
  return key.op === 'value' && typeof key.args === 'string' ? { name: key.args, at: key.start } : null;
}

function checkMember<Member extends string>(
  key: string,
  at: number,
  members: readonly Member[],
  of: string,
): Member {
  if ((members as readonly string[]).includes(key)) return key as Member;
  const message = `${of} has no ${JSON.stringify(key)}: it has ${members.join(', ')}`;
  return refuse(at, message, { code: 'unknown_name', near: { word: key, candidates: members } });
}
