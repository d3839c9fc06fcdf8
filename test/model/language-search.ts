/**
 * In which order may an engine have thought, to come to what is seen? A step that ends something otherwise than is seen,
 * or before what is seen of it has begun, leads away, and is not taken. This judges nothing: whoever asks compares
 * all that it comes to.
 */
import { copyOf, hasEnded, isLive, type Process, type Task, type World } from './language-model.ts';
import { describeProcess, describeTask, placeOf, type Seen } from './language-observe.ts';
import { stepsOf, take } from './language-thinking.ts';
import type { Random } from './random.ts';

const stepsMax = 5_000;

/** The world when nothing is left to think of; null: every step led away. */
export function thinkTowards(world: World, seen: Seen, random: Random): World | null {
  let now = world;
  for (let count = 0; count < stepsMax; count += 1) {
    const places = [...stepsOf(now).keys()];
    if (places.length === 0) return now;
    const next = firstOf(random.shuffled(places), (place) => {
      const tried = tryStep(now, place);
      return leadsAway(now, tried.world, seen) ? null : tried;
    });
    if (next === null) return null;
    for (const what of next.counted) world.count(what);
    now = next.world;
  }
  throw new Error('the model thinks for ever');
}

function firstOf<Item, Found>(items: Item[], find: (item: Item) => Found | null): Found | null {
  for (const item of items) {
    const found = find(item);
    if (found !== null) return found;
  }
  return null;
}

/** The step at this place among those that may come next, and what it counts. */
function tryStep(before: World, place: number): { world: World; counted: string[] } {
  const counted: string[] = [];
  const world = copyOf(before);
  world.count = (what) => counted.push(what);
  const step = stepsOf(world)[place];
  if (!step) throw new Error('no such step');
  take(world, step);
  return { world, counted };
}

function leadsAway(before: World, after: World, seen: Seen): boolean {
  return after.processes.some((process, index) => {
    const was = before.processes[index];
    if (!was) return !seen.processes.has(process.path);
    if (!hasEnded(was) && hasEnded(process) && !mayEndSo(process, seen)) return true;
    return process.tasks.some((task, place) => {
      const taskWas = was.tasks[place];
      if (taskWas?.name !== task.name) return false;
      if (task.claim?.stopAsked && !taskWas.claim?.stopAsked) return !isSeen(process, task, seen);
      return isLive(taskWas) && !isLive(task) && !mayTaskEndSo(after, process, task, seen);
    });
  });
}

function isSeen(process: Process, task: Task, { lines }: Seen): boolean {
  return lines.includes(describeTask(process, task));
}

function mayEndSo(process: Process, { lines, processes }: Seen): boolean {
  const hasStarted = process.failureProcess !== null;
  return lines.includes(describeProcess(process)) && processes.has(`${process.path}/!`) === hasStarted;
}

function mayTaskEndSo({ processes }: World, process: Process, task: Task, seen: Seen): boolean {
  if (!isSeen(process, task, seen)) return false;
  const place = placeOf(process.path, task.name);
  const isItem = (name: string) => name.startsWith(`${place}[`);
  const child = `${process.path}/${task.name}#`;
  const isChild = (path: string) => path.startsWith(child) && !path.slice(child.length).includes('/');
  const items = process.tasks.filter(({ name }) => isItem(placeOf(process.path, name)));
  const children = processes.filter(({ path }) => isChild(path));
  return (
    items.length === [...seen.tasks.keys()].filter(isItem).length &&
    children.length === [...seen.processes.keys()].filter(isChild).length
  );
}
