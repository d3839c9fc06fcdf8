/** Text → a checked plan, or everything that is wrong with it. */
import { findTextProblem, type Json } from '../core/json.ts';
import { type Plan, type PlannedTask, planLimits } from '../core/plan.ts';
import { nameKind } from '../core/schema-words.ts';
import { inputBytesMax } from '../core/task-input.ts';
import { type Check, check, isJsonMap, type JsonMap } from './check.ts';
import { composeDocument } from './compose.ts';
import { readDuration } from './durations.ts';
import { readOnFailure } from './engine-tasks.ts';
import { readInputRules } from './input-rules.ts';
import { hasItems, refuseItemNames } from './items.ts';
import { linkNeeds, readNeeds } from './needs.ts';
import type { DefinitionProblem, Finding } from './problem.ts';
import { ProblemList } from './problem-list.ts';
import { type DefinitionDocument, readDocument } from './read-document.ts';
import { checkOutputReferences, checkReferences } from './references.ts';
import { type PlacedReference, placeReferences } from './referred.ts';
import { definitionSchema } from './schemas.ts';
import { Suggester } from './suggest.ts';
import { type LooseTask, readDefaults, readTask } from './tasks.ts';
import { inheritedUses } from './template-places.ts';
import { type Reference, TemplateReader, type Uses } from './templates.ts';

export type ParsedDefinition =
  | { kind: 'valid'; plan: Plan; refers: PlacedReference[] }
  | { kind: 'invalid'; problems: DefinitionProblem[] };

/** As JSON. Aliases and `defaults.env` let two megabytes of text stand for gigabytes. */
const planBytesMax = 8 * planLimits.sourceBytesMax;

/**
 * Reads a definition, YAML 1.2 or JSON, as text or as the bytes of a file.
 *
 * Problems are gathered: those of the syntax, or else those of every value and of the graph, in the order of the
 * text; at most a hundred, and how many more there are.
 *
 * @example
 * parseDefinition('tasks: [{ name: A }, { name: B, needs: A }]') // { kind: 'valid', plan: … }
 */
export function parseDefinition(source: string | Uint8Array): ParsedDefinition {
  const text = toText(source);
  if (typeof text !== 'string') return { kind: 'invalid', problems: [text] };
  const problems = new ProblemList();
  const composed = composeDocument(text, problems);
  const document = composed && readDocument(composed, problems);
  const plan = document && readDefinition(document.value, checksOf(document, problems, text));
  if (!plan || !problems.isEmpty) return { kind: 'invalid', problems: problems.toProblems(text) };
  // In a comment, which the parser passes over; but the text is stored as it is.
  const unstorable = findTextProblem(text);
  return unstorable === null
    ? { kind: 'valid', plan, refers: placeReferences(plan, document, text) }
    : { kind: 'invalid', problems: [placeUnstorable(text, unstorable)] };
}

function placeUnstorable(text: string, why: string): DefinitionProblem {
  const before = text.slice(0, Math.max(0, text.search(/\0|\p{Surrogate}/u)));
  const lines = before.split('\n');
  return {
    pointer: '',
    line: lines.length,
    column: (lines.at(-1)?.length ?? 0) + 1,
    code: 'unstorable_value',
    message: `this text has ${why}`,
  };
}

function checksOf(
  { offsetOf, offsetWithin }: DefinitionDocument,
  problems: ProblemList,
  text: string,
): Check {
  const report = ({ related = [], within, ...said }: Finding) =>
    problems.add(() => ({
      ...said,
      offset: within ? offsetWithin(said.path, within, text) : offsetOf(said.path, said.of),
      related: related.map(({ path, message }) => ({ offset: offsetOf(path), message })),
    }));
  return { report, suggester: new Suggester() };
}

/** Without a byte order mark, which no column counts. */
function toText(source: string | Uint8Array): string | DefinitionProblem {
  const refuse = (code: string, message: string) => ({ pointer: '', line: 1, column: 1, code, message });
  const bytes = typeof source === 'string' ? Buffer.byteLength(source) : source.byteLength;
  if (bytes > planLimits.sourceBytesMax) {
    return refuse('too_large', `the definition is larger than ${planLimits.sourceBytesMax} bytes`);
  }
  if (typeof source === 'string') return source.replace(/^\ufeff/, '');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(source);
  } catch {
    return refuse('not_utf8', 'this is not text in UTF-8');
  }
}

/** The plan; null, or of no use, if there are problems. */
function readDefinition(value: Json, checks: Check): Plan | null {
  const { report } = checks;
  if (!isJsonMap(value)) {
    const what = value === null ? 'there is nothing here' : `this is ${nameKind(value)}`;
    report({ path: [], code: 'wrong_type', message: `a definition is a map with tasks, but ${what}` });
    return null;
  }
  const definition = value;
  check(definitionSchema, definition, [], checks);
  const input = definition.input === undefined ? null : readInputRules(definition.input, checks);
  const templates = new TemplateReader(input, checks);
  const defaults = readDefaults(definition.defaults, checks) ?? {};
  const inherited = templates.read(defaults, ['defaults']);
  const end = readEnd(definition, checks);
  const ofOutput = definition.output === undefined ? [] : templates.readOutput(definition.output).tasks;
  const tasks = readTasks(definition, { ...checks, defaults, templates, inherited, ofOutput });
  if (tasks === null) return null;
  const thinks = Object.keys(end).length > 0 || tasks.some((task) => task.thinks);
  return {
    name: typeof definition.name === 'string' ? definition.name : null,
    fail_fast: definition.fail_fast !== false,
    input,
    tasks,
    ...(thinks ? { thinks: true } : {}),
    ...end,
  };
}

/** What there is to do when the tasks have ended, or have not in time. */
function readEnd(
  { output, on_failure, deadline }: JsonMap,
  checks: Check,
): Pick<Plan, 'output' | 'on_failure' | 'deadline_ms'> {
  if (output !== undefined && Buffer.byteLength(JSON.stringify(output)) > inputBytesMax) {
    const message = `output is larger than ${inputBytesMax} bytes`;
    checks.report({ path: ['output'], code: 'invalid_value', message });
  }
  const onFailure = on_failure === undefined ? null : readOnFailure(on_failure, checks);
  const deadlineMs =
    deadline === undefined ? null : readDuration(deadline, ['deadline'], { ...checks, msMin: 1 });
  return {
    ...(output === undefined ? {} : { output }),
    ...(onFailure ? { on_failure: onFailure } : {}),
    ...(deadlineMs === null ? {} : { deadline_ms: deadlineMs }),
  };
}

interface TaskContext {
  defaults: JsonMap;
  templates: TemplateReader;
  /** What the templates of the defaults ask of tasks. */
  inherited: Uses;
  ofOutput: Reference[];
}

function readTasks(
  { tasks: value }: JsonMap,
  { defaults, templates, inherited, ofOutput, ...checks }: Check & TaskContext,
): PlannedTask[] | null {
  const { report } = checks;
  const path = ['tasks'];
  if (value === undefined) {
    report({
      path,
      of: 'map',
      code: 'missing_key',
      message: 'tasks is missing: a definition has at least one',
    });
    return null;
  }
  if (value === null || (Array.isArray(value) && value.length === 0)) {
    report({ path, code: 'no_tasks', message: 'there are no tasks: a definition has at least one' });
    return null;
  }
  if (!Array.isArray(value)) {
    report({ path, code: 'wrong_type', message: `tasks must be a list, not ${nameKind(value)}` });
    return null;
  }
  if (value.length > planLimits.tasksMax) {
    const message = `there are ${value.length} tasks, more than ${planLimits.tasksMax}`;
    report({ path, code: 'too_many_tasks', message });
    return null;
  }
  const tasks: (LooseTask | null)[] = [];
  let bytes = 0;
  for (const [index, each] of value.entries()) {
    const task = readTask(each, index, { defaults, ...checks });
    bytes += task === null ? 0 : Buffer.byteLength(JSON.stringify(task));
    if (bytes > planBytesMax) {
      const message = `the tasks are larger than ${planBytesMax} bytes, with their defaults and aliases written out`;
      report({ path, code: 'too_large', message });
      return null;
    }
    tasks.push(task);
  }
  const references = value.map((each, index) => {
    if (!isJsonMap(each)) return [];
    const own = templates.read(each, ['tasks', index]);
    const taken = inheritedUses(each, inherited);
    if (!hasItems(each)) {
      templates.refuseItems(own);
      templates.refuseItems(taken);
    }
    return [...own.tasks, ...taken.tasks];
  });
  refuseItemNames(value, checks);
  const linked = link(value, tasks, { ...checks, references, ofOutput });
  return linked?.map((task, index) => ({ ...task, ...sparedBy(value[index], templates) })) ?? null;
}

/** A task whose `if` asks how others have ended is thought about also where its process stops. */
function sparedBy(
  task: Json | undefined,
  templates: TemplateReader,
): Pick<PlannedTask, 'runs_on_failure' | 'runs_on_cancel'> {
  // As it was written, with its ${{ … }}: so it was read. A plan has what stands in it.
  const condition = isJsonMap(task) ? task.if : undefined;
  if (typeof condition !== 'string') return {};
  const { always, failure, cancelled } = templates.callsOf(condition);
  return {
    ...(always || failure ? { runs_on_failure: true } : {}),
    ...(always || cancelled ? { runs_on_cancel: true } : {}),
  };
}

/** Also where tasks are wrong in themselves: all problems are wanted. */
function link(
  values: Json[],
  tasks: (LooseTask | null)[],
  { references, ofOutput, ...checks }: Check & { references: Reference[][]; ofOutput: Reference[] },
): PlannedTask[] | null {
  const graph = values.map((value, index) => {
    if (!isJsonMap(value)) return { name: null, needs: [] };
    const name = typeof value.name === 'string' ? value.name : null;
    return { name, needs: readNeeds(value.needs, ['tasks', index, 'needs'], checks) };
  });
  const needs = linkNeeds(graph, checks);
  checkReferences(references, { graph, needs, checks });
  checkOutputReferences(ofOutput, { graph, checks });
  const dependents: number[][] = needs.map(() => []);
  for (const [index, ordinals] of needs.entries()) {
    for (const ordinal of ordinals) dependents[ordinal - 1]?.push(index + 1);
  }
  const linked = tasks.flatMap((task, index) =>
    task === null ? [] : [{ ...task, needs: needs[index] ?? [], dependents: dependents[index] ?? [] }],
  );
  return linked.length === tasks.length ? linked : null;
}
