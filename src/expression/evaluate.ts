/** A tree and its scope → a value. Every step is counted (limits.ts); nothing of JavaScript can be reached. */
import type { Json } from '../core/json.ts';
import { hintFor } from './check-types.ts';
import { compare } from './functions/lists.ts';
import type { CallContext } from './functions.ts';
import { ExpressionFailure, failureSteps, type Meter } from './limits.ts';
import type { Node, StatusFunction, TaskMember } from './node.ts';
import { areEqual, type JsonObject, keysOf, kindOf, nameKinds, nameOfKind, shorten } from './values.ts';

/** What the names of an expression stand for. */
export interface Scope {
  input: Json;
  process: { id: string; definition: string | null; version: number | null };
  /** Asked for what an expression names only. */
  task: (name: string, member: TaskMember) => Json;
  /** Of an item of an `each` or `matrix`; `index` counts from 0. */
  item?: { value: Json; index: number };
  /** Of a condition: how what the task follows from has ended. `always()` is true in any. */
  status?: { success: boolean; failure: boolean; cancelled: boolean };
}

interface Run extends CallContext {
  scope: Scope;
  variables: Variable | null;
}

interface Variable {
  name: string;
  value: Json;
  outer: Variable | null;
}

/** @throws ExpressionFailure */
export function evaluate(node: Node, scope: Scope, context: CallContext): Json {
  return run(node, { ...context, scope, variables: null });
}

function run(node: Node, on: Run): Json {
  on.meter.charge(1);
  switch (node.kind) {
    case 'literal':
      return node.value;
    case 'input':
      return on.scope.input;
    case 'process':
      return { ...on.scope.process };
    case 'task':
      return on.scope.task(node.name, node.member);
    case 'item':
      return readItem(node.part, on.scope);
    case 'status':
      return readStatus(node.name, on.scope);
    case 'variable':
      return readVariable(node.name, on);
    case 'field':
      return readField(run(node.of, on), node.key);
    case 'index':
      return readIndex(run(node.of, on), run(node.key, on));
    case 'list':
      return node.items.map((item) => run(item, on));
    case 'map':
      return makeMap(node.entries, on);
    case 'not':
      return !toBoolean(run(node.of, on), '!');
    case 'negative':
      return -toNumber(run(node.of, on), '-');
    case 'and':
    case 'or':
      return runLogic(node, on);
    case 'choice':
      return run(toBoolean(run(node.condition, on), '… ? … : …') ? node.yes : node.no, on);
    case 'binary':
      return runBinary(node, run(node.left, on), run(node.right, on), on);
    case 'call':
      return runCall(node, on);
    case 'default':
      return orMissing(() => run(node.of, on), on) ?? run(node.otherwise, on);
    case 'has':
      return orMissing(() => ({ value: run(node.of, on) }), on) !== null;
    case 'loop':
      return runLoop(node, on);
  }
}

function readItem(part: 'value' | 'index', { item }: Scope): Json {
  if (item) return item[part];
  throw new ExpressionFailure('there is no item here: only tasks with "each" or "matrix" have some');
}

function readStatus(name: StatusFunction, { status }: Scope): boolean {
  if (!status) throw new ExpressionFailure(`${name}() says something in "if" only`);
  return name === 'always' || status[name];
}

function readVariable(name: string, on: Run): Json {
  for (let each = on.variables; each !== null; each = each.outer) if (each.name === name) return each.value;
  throw new ExpressionFailure(`there is no "${name}"`);
}

function readField(of: Json, key: string): Json {
  if (of === null) throw new ExpressionFailure(`null has no ${JSON.stringify(key)}`, 'missing');
  if (typeof of !== 'object' || Array.isArray(of))
    throw new ExpressionFailure(`${nameOfKind(kindOf(of))} has no ${JSON.stringify(key)}`);
  if (Object.hasOwn(of, key)) return of[key] as Json;
  throw new ExpressionFailure(
    `there is no ${shorten(key)}; default(…, …) says what to take instead`,
    'missing',
  );
}

function readIndex(of: Json, key: Json): Json {
  if (typeof key === 'string') return readField(of, key);
  if (!Array.isArray(of)) {
    const kind = nameOfKind(kindOf(of));
    throw new ExpressionFailure(`${kind} has no [${shorten(key)}]`, of === null ? 'missing' : 'wrong');
  }
  if (typeof key !== 'number' || !Number.isInteger(key))
    throw new ExpressionFailure(`a place in a list is a whole number, not ${shorten(key)}`);
  const item = key >= 0 ? of[key] : undefined;
  if (item !== undefined) return item;
  throw new ExpressionFailure(`there is no [${key}] in a list of ${of.length}`, 'missing');
}

function makeMap(entries: [Node, Node][], on: Run): JsonObject {
  const map: JsonObject = {};
  on.meter.charge(4 * entries.length);
  for (const [keyNode, valueNode] of entries) {
    const key = run(keyNode, on);
    if (typeof key !== 'string')
      throw new ExpressionFailure(`the keys of a map are texts, not ${nameOfKind(kindOf(key))}`);
    // Assigned, it would change what the map is instead of what it holds.
    if (key === '__proto__') throw new ExpressionFailure('the key "__proto__" is not accepted');
    map[key] = run(valueNode, on);
  }
  return map;
}

/** As CEL has it: a side that decides makes up for a failure of the other. */
function runLogic({ kind, left, right }: Extract<Node, { kind: 'and' | 'or' }>, on: Run): boolean {
  const sign = kind === 'and' ? '&&' : '||';
  const decides = kind === 'or';
  let failure: ExpressionFailure;
  try {
    const first = toBoolean(run(left, on), sign);
    return first === decides ? first : toBoolean(run(right, on), sign);
  } catch (error) {
    failure = recoverable(error, on);
  }
  if (toBoolean(run(right, on), sign) === decides) return decides;
  throw failure;
}

function runCall(node: Extract<Node, { kind: 'call' }>, on: Run): Json {
  const { name, rule } = node;
  const args = node.arguments.map((argument) => run(argument, on));
  for (const [index, value] of args.entries()) {
    const takes = rule.takes[index] ?? 'any';
    if (takes === 'any' || takes.includes(kindOf(value))) continue;
    throw new ExpressionFailure(`${name} takes ${nameKinds(takes)}, not ${nameOfKind(kindOf(value))}`);
  }
  const value = rule.run(args, on);
  return typeof value === 'number' ? finite(value) : value;
}

function runLoop({ loop, over, variable, where, body }: Extract<Node, { kind: 'loop' }>, on: Run): Json {
  const items = itemsOf(run(over, on), loop, on.meter);
  const found: Json[] = [];
  let count = 0;
  let failure: ExpressionFailure | null = null;
  const inner: Run = { ...on, variables: { name: variable, value: null, outer: on.variables } };
  const condition = `the condition of ${loop}`;
  for (const item of items) {
    // A list of a loop within it must not see the next value: nothing keeps `variables` beyond its turn.
    (inner.variables as Variable).value = item;
    if (loop === 'map') {
      if (where === null || toBoolean(run(where, inner), condition)) found.push(run(body, inner));
      continue;
    }
    if (loop === 'filter') {
      if (toBoolean(run(body, inner), condition)) found.push(item);
      continue;
    }
    let holds: boolean;
    try {
      holds = toBoolean(run(body, inner), condition);
    } catch (error) {
      if (loop === 'exists_one') throw error;
      const made = recoverable(error, on);
      failure ??= made;
      continue;
    }
    if (loop === 'exists' && holds) return true;
    if (loop === 'all' && !holds) return false;
    count += holds ? 1 : 0;
  }
  if (failure) throw failure;
  if (loop === 'map' || loop === 'filter') return found;
  return loop === 'exists_one' ? count === 1 : loop === 'all';
}

/** Of a map, its keys. */
function itemsOf(value: Json, loop: string, meter: Meter): Json[] {
  if (Array.isArray(value)) return value;
  if (typeof value === 'object' && value !== null) {
    return keysOf(value, meter);
  }
  throw new ExpressionFailure(
    `${loop} takes a list or a map, not ${nameOfKind(kindOf(value))}`,
    value === null ? 'missing' : 'wrong',
  );
}

function runBinary(
  { operator }: Extract<Node, { kind: 'binary' }>,
  left: Json,
  right: Json,
  { meter }: Run,
): Json {
  switch (operator) {
    case '==':
      return areEqual(left, right, meter);
    case '!=':
      return !areEqual(left, right, meter);
    case 'in':
      return isIn(left, right, meter);
    case '<':
      return compare(left, right, { what: operator, meter }) < 0;
    case '<=':
      return compare(left, right, { what: operator, meter }) <= 0;
    case '>':
      return compare(left, right, { what: operator, meter }) > 0;
    case '>=':
      return compare(left, right, { what: operator, meter }) >= 0;
    case '+':
      return add(left, right, meter);
    default:
      return calculate(operator, toNumber(left, operator), toNumber(right, operator));
  }
}

function isIn(value: Json, of: Json, meter: Meter): boolean {
  if (Array.isArray(of)) return of.some((item) => areEqual(item, value, meter));
  if (typeof of === 'object' && of !== null) {
    if (typeof value === 'string') return Object.hasOwn(of, value);
    throw new ExpressionFailure(`the keys of a map are texts, not ${nameOfKind(kindOf(value))}`);
  }
  const hint = typeof of === 'string' ? '; of a text use contains' : '';
  throw new ExpressionFailure(`in takes a list or a map, not ${nameOfKind(kindOf(of))}${hint}`);
}

function add(left: Json, right: Json, meter: Meter): Json {
  if (typeof left === 'number' && typeof right === 'number') return finite(left + right);
  if (typeof left === 'string' && typeof right === 'string') {
    meter.checkLength(left.length + right.length);
    meter.chargeText(left.length + right.length);
    return left + right;
  }
  if (Array.isArray(left) && Array.isArray(right)) {
    meter.charge(left.length + right.length);
    return [...left, ...right];
  }
  const kinds = `${nameOfKind(kindOf(left))} and ${nameOfKind(kindOf(right))}`;
  throw new ExpressionFailure(`+ takes two numbers, texts or lists, not ${kinds}${hintFor('+')}`);
}

function calculate(operator: string, left: number, right: number): number {
  if (right === 0 && operator !== '-' && operator !== '*')
    throw new ExpressionFailure(`${left} ${operator} 0 has no answer`);
  switch (operator) {
    case '-':
      return finite(left - right);
    case '*':
      return finite(left * right);
    case '/':
      return finite(left / right);
    default:
      return finite(left % right);
  }
}

function finite(value: number): number {
  if (Number.isFinite(value)) return value;
  throw new ExpressionFailure('makes a number that is too large for JSON');
}

function toBoolean(value: Json, what: string): boolean {
  if (typeof value === 'boolean') return value;
  throw new ExpressionFailure(`${what} takes true or false, not ${nameOfKind(kindOf(value))}`);
}

function toNumber(value: Json, what: string): number {
  if (typeof value === 'number') return value;
  throw new ExpressionFailure(`${what} takes numbers, not ${nameOfKind(kindOf(value))}`);
}

/** Null where something on the way is not there. */
function orMissing<Value>(read: () => Value, on: Run): Value | null {
  try {
    return read();
  } catch (error) {
    const failure = recoverable(error, on);
    if (failure.kind === 'missing') return null;
    throw failure;
  }
}

/** A failure that something in the expression may make up for; others go on their way. */
function recoverable(error: unknown, { meter }: Run): ExpressionFailure {
  if (!(error instanceof ExpressionFailure) || error.kind === 'limit') throw error;
  meter.charge(failureSteps);
  return error;
}
