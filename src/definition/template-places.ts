/** Where in a task texts stand that may be templates, and what a task takes over of its defaults' ones. */
import type { Json } from '../core/json.ts';
import { isTemplate } from '../expression/template.ts';
import type { Kind } from '../expression/values.ts';
import { isJsonMap, type JsonMap } from './check.ts';
import type { Path } from './problem.ts';
import type { Uses } from './templates.ts';

/** What stands there, and what that makes of it. */
interface Standing {
  /** The whole text is an expression, with `${{ … }}` around it or without. */
  isBare?: true;
  /** What is stored and shown, by the name of its key: no secret may stand in it. */
  data?: string;
  /** What is to come of a text that is one expression and nothing else. */
  takes?: readonly Kind[];
  /** Decided before there are items. */
  isBeforeItems?: true;
  /** The key of a map, which is no template. */
  isKey?: true;
}

export interface TextPlace extends Standing {
  text: string;
  path: Path;
}

/** Of a task, or of what all tasks have in common, whether or not it is right in itself. */
export function findTexts(task: JsonMap, path: Path): TextPlace[] {
  const { input, each, process, sleep, wait_for, run_at } = task;
  const at = (...keys: (string | number)[]) => [...path, ...keys];
  const before = { isBeforeItems: true } as const;
  const event = { data: 'wait_for', takes: ['text', 'number', 'boolean'] } as const;
  const found = findProgramTexts(task, path);
  const add = (value: Json | undefined, where: Path, standing: Standing) => {
    if (value !== undefined) found.push(...findInJson(value, where, standing));
  };
  add(input, at('input'), { data: 'input' });
  if (typeof task.if === 'string') {
    add(task.if, at('if'), { data: 'if', isBare: true, takes: ['boolean'], ...before });
  }
  const isBare = typeof each === 'string' ? ({ isBare: true, takes: ['list'] } as const) : {};
  add(each, at('each'), { data: 'each', ...isBare, ...before });
  for (const [name, values] of Object.entries(isJsonMap(task.matrix) ? task.matrix : {})) {
    if (isTemplate(name)) found.push({ text: name, path: at('matrix', name), isKey: true });
    add(values, at('matrix', name), { data: 'matrix', takes: ['list'], ...before });
  }
  if (isJsonMap(process)) {
    add(process.input, at('process', 'input'), { data: 'process.input', takes: ['map'] });
  }
  if (typeof sleep === 'string') add(sleep, at('sleep'), { data: 'sleep', takes: ['text'] });
  if (isJsonMap(sleep)) add(sleep.until, at('sleep', 'until'), { data: 'sleep', takes: ['text'] });
  if (typeof run_at === 'string') add(run_at, at('run_at'), { data: 'run_at', takes: ['text'], ...before });
  if (typeof wait_for === 'string') add(wait_for, at('wait_for'), event);
  if (isJsonMap(wait_for)) {
    add(wait_for.event, at('wait_for', 'event'), event);
    add(wait_for.key, at('wait_for', 'key'), event);
  }
  return found;
}

/** It recurses: values nest no deeper than a document may. What it takes is said of the whole, not of its parts. */
export function findInJson(value: Json, path: Path, standing: Standing): TextPlace[] {
  if (typeof value === 'string') {
    return standing.isBare || isTemplate(value) ? [{ text: value, path, ...standing }] : [];
  }
  if (typeof value !== 'object' || value === null) return [];
  const { takes: _takes, ...ofParts } = standing;
  if (Array.isArray(value)) {
    return value.flatMap((item, index) => findInJson(item, [...path, index], ofParts));
  }
  return Object.entries(value).flatMap(([key, item]) => {
    const own: TextPlace[] = isTemplate(key) ? [{ text: key, path: [...path, key], isKey: true }] : [];
    return [...own, ...findInJson(item, [...path, key], ofParts)];
  });
}

/** The texts of a program or container in which secrets and expressions may stand, as far as they are texts. */
function findProgramTexts(task: JsonMap, path: Path): TextPlace[] {
  const parts = ['pre', 'post', 'sidecars'].flatMap((key) =>
    listIn(task, key).flatMap((part, index) =>
      isJsonMap(part) ? textsOfPart(part, [...path, key, index]) : [],
    ),
  );
  return [...textsOfPart(task, path), ...textsIn(task.registry, [...path, 'registry']), ...parts];
}

function textsOfPart(part: JsonMap, path: Path): TextPlace[] {
  return ['args', 'cmd', 'entrypoint', 'env'].flatMap((key) => textsIn(part[key], [...path, key]));
}

function listIn(map: JsonMap, key: string): Json[] {
  const value = map[key];
  return Array.isArray(value) ? value : [];
}

function textsIn(value: Json | undefined, path: Path): TextPlace[] {
  const entries: [string | number, Json][] = Array.isArray(value)
    ? [...value.entries()]
    : isJsonMap(value)
      ? Object.entries(value)
      : [];
  return entries.flatMap(([key, text]) =>
    typeof text === 'string' && isTemplate(text) ? [{ text, path: [...path, key] }] : [],
  );
}

/** What a task takes over of the defaults' templates: of `env` what it does not have itself. */
export function inheritedUses(task: JsonMap, { tasks, items }: Uses): Uses {
  const hasProgram = ['image', 'command', 'run'].some((key) => task[key] !== undefined);
  const isTaken = ({ path: [, key, name] }: { path: Path }) => {
    if (key === 'registry') return task.image !== undefined && task.registry === undefined;
    return hasProgram && !(isJsonMap(task.env) && Object.hasOwn(task.env, String(name)));
  };
  return { tasks: tasks.filter(isTaken), items: items.filter(isTaken) };
}
