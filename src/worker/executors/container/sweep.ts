/**
 * Removes what attempts left behind whose worker could not: it was killed, or its runtime did not answer in time.
 *
 * Only things with the label of this database. They go when the OS process that made them lives no more, which can be
 * seen where it ran, or when their claim is held no more; the latter only once they are a while old. Never those of an
 * attempt that runs in this OS process.
 */
import type { TaskSource } from '../../../core/task-source.ts';
import { isRunning } from '../../place.ts';
import { listNames, removeThings, type Thing } from './cleanup.ts';
import { runtimeFailure } from './errors.ts';
import { type Labels, runsHere } from './labels.ts';
import type { ContainerRuntime } from './runtime.ts';

/** Younger ones may belong to a claim whose answer is on its way, or to an attempt that is about to end. */
const ageMsMin = 30_000;
/** Of the names in one command line, and of the claims in one question. */
const batchMax = 200;
const removeMsMax = 60_000;

interface Found {
  thing: Thing;
  name: string;
  labels: Partial<Labels>;
}

/** How many things were removed. @throws when the runtime or the source does not answer. */
export async function sweepContainers({
  runtime,
  place,
  source,
}: {
  runtime: ContainerRuntime;
  /** As it was given to `containerExecutor`. */
  place: string;
  source: Pick<TaskSource, 'findHeld'>;
}): Promise<number> {
  const found: Found[] = [];
  const { instance } = await source.findHeld([]);
  for (const thing of ['container', 'volume', 'network'] as const)
    found.push(...(await findThings(runtime, thing, instance)));
  const others = found.filter(({ labels }) => !runsHere(labels['skipjack.token'] ?? ''));
  const orphans = others.filter(({ labels }) => isOrphan(labels, place));
  const old = others.filter((each) => !orphans.includes(each) && isOld(each.labels));
  const doomed = [...orphans, ...(await withoutClaim(old, instance, source))];
  const left: string[] = [];
  let removed = 0;
  // Containers first: what they use cannot be removed before.
  for (const thing of ['container', 'volume', 'network'] as const) {
    const names = doomed.filter(
      (each) => each.thing === thing && !runsHere(each.labels['skipjack.token'] ?? ''),
    );
    for (const batch of batches(names)) {
      const leftBefore = left.length;
      const batchNames = batch.map(({ name }) => name);
      await removeThings(runtime, thing, batchNames, performance.now() + removeMsMax, left);
      if (left.length === leftBefore) removed += batch.length;
    }
  }
  if (left.length > 0) throw new Error(`could not remove ${left.join('; ')}`);
  return removed;
}

async function findThings(runtime: ContainerRuntime, thing: Thing, instance: string): Promise<Found[]> {
  const names = await listNames(runtime, thing, `skipjack.instance=${instance}`);
  const found: Found[] = [];
  for (const batch of batches(names)) {
    const labels = thing === 'container' ? '.Config.Labels' : '.Labels';
    const end = await runtime.run([thing, 'inspect', `--format={{json .Name}} {{json ${labels}}}`, ...batch]);
    // Some may have gone since they were listed; the others are answered all the same.
    if (end.kind !== 'exited') throw runtimeFailure(runtime, `looking at ${thing}s`, end);
    for (const line of end.stdout.split('\n')) {
      const match = /^"\/?([\w.-]+)" (\{.*\})$/.exec(line.trim());
      if (match === null) continue;
      const its = JSON.parse(match[2] as string) as Partial<Labels>;
      if (its['skipjack.instance'] === instance) found.push({ thing, name: match[1] as string, labels: its });
    }
  }
  return found;
}

/** Made by an OS process of this place that lives no more. */
function isOrphan(labels: Partial<Labels>, place: string): boolean {
  if (labels['skipjack.place'] !== place) return false;
  const pid = Number(labels['skipjack.pid']);
  if (!Number.isInteger(pid) || pid <= 0) return false;
  const started = labels['skipjack.pid_started'] || null;
  return !isRunning({ pid, startTime: started === null ? null : Number(started) });
}

function isOld(labels: Partial<Labels>): boolean {
  return Date.now() - Number(labels['skipjack.created'] ?? Number.NaN) >= ageMsMin;
}

async function withoutClaim(
  found: Found[],
  instance: string,
  source: Pick<TaskSource, 'findHeld'>,
): Promise<Found[]> {
  const doomed: Found[] = [];
  for (const batch of batches(found)) {
    const claims = batch.map(({ labels }) => ({
      id: labels['skipjack.task'] ?? '',
      token: labels['skipjack.token'] ?? '',
    }));
    const answer = await source.findHeld(claims);
    // Another database answers now: it knows nothing of these.
    if (answer.instance !== instance) return [];
    doomed.push(...batch.filter((_, index) => answer.held[index] === false));
  }
  return doomed;
}

function batches<Item>(items: Item[]): Item[][] {
  return Array.from({ length: Math.ceil(items.length / batchMax) }, (_, index) =>
    items.slice(index * batchMax, (index + 1) * batchMax),
  );
}
