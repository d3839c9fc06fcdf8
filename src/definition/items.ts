/** `each` and `matrix`: one task for each of many items. */
import type { Json } from '../core/json.ts';
import { type PlannedTask, planLimits } from '../core/plan.ts';
import { nameKind } from '../core/schema-words.ts';
import { expressionLimits } from '../expression/limits.ts';
import { isOneExpression, parseWhole, wrapExpression } from '../expression/template.ts';
import { type Check, isJsonMap, type JsonMap, subjectOf } from './check.ts';
import { type Path, quote } from './problem.ts';

type ItemKeys = Pick<PlannedTask, 'each' | 'matrix' | 'concurrency' | 'max_failures'>;

/** `Name[9999]` must be a name too. */
const nameLengthMax = 190;
const matrixNamesMax = 20;

export function hasItems(task: JsonMap): boolean {
  return task.each !== undefined || task.matrix !== undefined;
}

/** Null if there is something wrong, which has been reported. */
export function readItems(task: JsonMap, path: Path, { report }: Check): ItemKeys | null {
  const { each, matrix, concurrency, max_failures, name } = task;
  const keys: ItemKeys = {
    ...(typeof concurrency === 'number' ? { concurrency } : {}),
    ...(typeof max_failures === 'number' ? { max_failures } : {}),
  };
  const refuse = (key: string, message: string) => {
    report({ path: [...path, key], of: 'key', code: 'invalid_value', message });
    return null;
  };
  if (!hasItems(task)) {
    const [lone] = Object.keys(keys);
    return lone === undefined ? keys : refuse(lone, `${lone} goes with "each" or "matrix"`);
  }
  if (each !== undefined && matrix !== undefined) {
    return refuse('matrix', 'a task has "each" or "matrix", not both');
  }
  let isFine = true;
  if (typeof name === 'string' && name.length > nameLengthMax) {
    const message = `name is longer than ${nameLengthMax} letters: its items add "[0]", "[1]", … to it`;
    report({ path: [...path, 'name'], code: 'invalid_value', message });
    isFine = false;
  }
  const own = each === undefined ? readMatrix(matrix ?? null, path, report) : readEach(each, path, report);
  return own && isFine ? { ...own, ...keys } : null;
}

function readEach(value: Json, path: Path, report: Check['report']): ItemKeys | null {
  const at = [...path, 'each'];
  if (Array.isArray(value)) return isShort(value, at, report) ? { each: value } : null;
  if (typeof value !== 'string') {
    const message = `each must be a list, or an expression that yields one, not ${nameKind(value)}`;
    report({ path: at, code: 'wrong_type', message });
    return null;
  }
  const wrapped = wrapExpression(value);
  if (wrapped !== null) return { each: wrapped };
  // Whatever else is wrong with it is told of the expression.
  if (parseWhole(value).problems.length === 0) {
    const message = 'each cannot be read: leave out its comment';
    report({ path: at, code: 'invalid_expression', message });
  }
  return null;
}

function readMatrix(value: Json, path: Path, report: Check['report']): ItemKeys | null {
  const at = [...path, 'matrix'];
  const refuse = (where: Path, code: string, message: string) => {
    report({ path: where, code, message });
    return null;
  };
  if (!isJsonMap(value)) {
    return refuse(at, 'wrong_type', `matrix must be a map of lists, not ${nameKind(value)}`);
  }
  const members = Object.entries(value);
  if (members.length === 0) return refuse(at, 'invalid_value', 'matrix must not be empty');
  if (members.length > matrixNamesMax) {
    return refuse(at, 'invalid_value', `matrix has more than ${matrixNamesMax} names`);
  }
  let isFine = true;
  for (const [name, list] of members) {
    const where = [...at, name];
    if (Array.isArray(list)) isFine = isShort(list, where, report) && isFine;
    else if (typeof list !== 'string' || !isOneExpression(list)) {
      const message = `${subjectOf(where)} must be a list, or one \${{ … }} that yields one, not ${nameKind(list)}`;
      refuse(where, 'wrong_type', message);
      isFine = false;
    }
  }
  if (!isFine) return null;
  const { items, letters } = sizeOf(members.map(([, list]) => list));
  if (items > planLimits.itemsMax) {
    return refuse(at, 'invalid_value', `matrix makes ${items} items, more than ${planLimits.itemsMax}`);
  }
  if (letters > expressionLimits.itemsLettersMax) {
    const message = `matrix makes items of more than ${expressionLimits.itemsLettersMax} letters together`;
    return refuse(at, 'invalid_value', message);
  }
  return { matrix: value };
}

/** As far as it is known: of lists that are there, where all are. */
function sizeOf(lists: Json[]): { items: number; letters: number } {
  if (!lists.every(Array.isArray)) return { items: 0, letters: 0 };
  const items = lists.reduce((product, list) => product * list.length, 1);
  const letters = lists.map((list) => (JSON.stringify(list).length * items) / Math.max(1, list.length));
  return { items, letters: letters.reduce((sum, each) => sum + each, 0) };
}

function isShort(list: Json[], path: Path, report: Check['report']): boolean {
  if (list.length <= planLimits.itemsMax) return true;
  const message = `${subjectOf(path)} has ${list.length} items, more than ${planLimits.itemsMax}`;
  report({ path, code: 'invalid_value', message });
  return false;
}

/** Tasks that are called as an item of another will be: by its name nobody could tell which is meant. */
export function refuseItemNames(tasks: Json[], { report }: Check): void {
  const lists = new Map<string, number>();
  for (const [index, task] of tasks.entries()) {
    if (isJsonMap(task) && hasItems(task) && typeof task.name === 'string') lists.set(task.name, index);
  }
  if (lists.size === 0) return;
  for (const [index, task] of tasks.entries()) {
    const name = isJsonMap(task) && typeof task.name === 'string' ? task.name : '';
    const of = /^(.*)\[(?:0|[1-9]\d*)\]$/s.exec(name)?.[1];
    const list = of === undefined ? undefined : lists.get(of);
    if (list === undefined) continue;
    report({
      path: ['tasks', index, 'name'],
      code: 'duplicate_name',
      message: `an item of ${quote(of ?? '')} is called ${quote(name)} too`,
      related: [{ path: ['tasks', list, 'name'], message: 'the task with the items is here' }],
    });
  }
}
