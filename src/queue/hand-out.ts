/**
 * Hands out what was claimed, with what its process gives to each task (processes/describe.ts).
 *
 * A task of which an expression fails has ended, and leaves room: others are claimed in its place. Whoever gave a claim
 * id may be asking twice at once, at two replicas: what both take must not add up to more than they asked for. So under
 * such an id others are claimed only where nothing is left to hand out, after a look at what the other has taken.
 *
 * To fill a hundred tasks may take seconds, of which a lease may have one: leases are kept meanwhile.
 */
import { newId } from '../core/ids.ts';
import type { ClaimedTask, ClaimRequest, HeartbeatResult } from '../core/task-source.ts';
import { decodeToken } from '../core/token.ts';
import type { ClaimPart } from './claim.ts';
import type { ClaimLine } from './claim-line.ts';
import type { TakenTask } from './claimed-task.ts';
import type { Beat } from './heartbeat.ts';
import type { Described, ToDescribe, Undescribable } from './processes/describe.ts';
import type { ClaimOutcome } from './settle.ts';

/** What it needs of its queue. */
export interface HandOutParts {
  describe: (task: ToDescribe) => Promise<Described | Undescribable>;
  settle: (outcome: ClaimOutcome) => Promise<unknown>;
  heartbeat: (beat: Beat) => Promise<HeartbeatResult>;
}

/** How often a claim looks for others in place of tasks that an expression ended; its caller asks again anyway. */
const refillsMax = 20;

/** `isOpen`: false ends it with what there is. */
export async function claimAndHandOut(
  parts: HandOutParts,
  request: ClaimRequest,
  { line, isOpen }: { line: () => ClaimLine; isOpen: () => boolean },
): Promise<ClaimedTask[]> {
  const isAskedAgain = request.claimId !== undefined && !request.claimIdIsNew;
  const { outputs, leaseMs, timeoutGraceMs = 0 } = request;
  // As Postgres writes it: what is held is looked up by this text.
  const claimId = request.claimId?.toLowerCase() ?? newId();
  const waitUntil = performance.now() + request.waitMs;
  const leases = keepLeases(parts, { leaseMs, timeoutGraceMs });
  const answer: ClaimedTask[] = [];
  try {
    for (let round = 1; round <= refillsMax && isOpen(); round += 1) {
      const limit = request.limit - answer.length;
      const started = answer.filter((task) => task.started).length;
      // Once there is something to hand out, nobody waits for more.
      const waitMs = answer.length > 0 ? 0 : Math.max(0, waitUntil - performance.now());
      const startLimit = Math.max(0, Math.min((request.startLimit ?? request.limit) - started, limit));
      const mayRepeat = isAskedAgain || (request.claimId !== undefined && round > 1);
      const claimed = line().claim(
        { worker: request.worker, leaseMs, timeoutGraceMs, claimId, limit, startLimit, mayRepeat },
        { waitMs, signal: request.signal },
      );
      // What the first rounds took is handed out, whatever becomes of the last.
      const taken = await (answer.length > 0 ? claimed.catch(() => []) : claimed);
      leases.add(taken);
      const described = describeAll(parts, taken, { outputs, isAskedAgain });
      const tasks = await (answer.length > 0 ? described.catch(() => []) : described);
      answer.push(...tasks);
      // Only tasks that an expression ended on the way leave room for others.
      if (tasks.length === taken.length || answer.length >= request.limit) break;
      if (answer.length > 0 && request.claimId !== undefined) break;
    }
  } finally {
    leases.stop();
  }
  return answer.flatMap((task) => leases.renewed(task) ?? []);
}

/** One task that was claimed by its id; null: an expression failed, and it has ended so. */
export async function handOutOne(
  parts: HandOutParts,
  taken: TakenTask,
  lease: Pick<ClaimPart, 'leaseMs' | 'timeoutGraceMs'>,
): Promise<ClaimedTask | null> {
  const leases = keepLeases(parts, lease);
  leases.add([taken]);
  try {
    const [task] = await describeAll(parts, [taken], { outputs: 'direct', isAskedAgain: false });
    return task ? leases.renewed(task) : null;
  } finally {
    leases.stop();
  }
}

/** What cannot be described goes back uncounted, unless its caller knows how to ask for it again. */
async function describeAll(
  parts: HandOutParts,
  taken: TakenTask[],
  { outputs = 'direct', isAskedAgain }: { outputs: ClaimRequest['outputs']; isAskedAgain: boolean },
): Promise<ClaimedTask[]> {
  const described = await Promise.allSettled(taken.map((task) => describe(parts, task, outputs)));
  const failed = described.find((each) => each.status === 'rejected');
  if (failed === undefined)
    return described.flatMap((each) => (each.status === 'fulfilled' ? (each.value ?? []) : []));
  if (!isAskedAgain) {
    for (const [index, task] of taken.entries()) {
      const each = described[index];
      const hasEnded = each?.status === 'fulfilled' && each.value === null;
      const claim = decodeToken(task.token, task.id);
      if (claim && !hasEnded) parts.settle({ ...claim, kind: 'released' }).catch(() => {});
    }
  }
  throw failed.reason;
}

/** What its process gives to a task; null: an expression failed, and the task has ended so. */
async function describe(
  { describe: fill, settle }: HandOutParts,
  { place, ...task }: TakenTask,
  outputs: NonNullable<ClaimRequest['outputs']>,
): Promise<ClaimedTask | null> {
  if (place === null) return task;
  const described = await fill({ place, outputs });
  if (!('error' in described)) return { ...task, ...described };
  const claim = decodeToken(task.token, task.id);
  // Should it not arrive, the lease runs out, and whoever claims the task next comes to the same.
  if (claim) await settle({ ...claim, kind: 'failed', error: described.error, retry: false }).catch(() => {});
  return null;
}

/** A timer takes no more than 24 days, and a lease may have them. */
const beatMsMax = 3_600_000;
const beatMsMin = 20;

/** Beats for tasks of which some wait for what their processes give them, three times in a lease, until it is stopped. */
function keepLeases(
  { heartbeat }: HandOutParts,
  lease: Pick<ClaimPart, 'leaseMs' | 'timeoutGraceMs'>,
): {
  add: (taken: TakenTask[]) => void;
  stop: () => void;
  /** With its lease as it is now; null: it is lost. */
  renewed: (task: ClaimedTask) => ClaimedTask | null;
} {
  const kept = new Map<string, { task: TakenTask; since: number }>();
  /** When their leases end by the last beat; null: somebody else may have them by now. */
  const ends = new Map<string, string | null>();
  let timer: NodeJS.Timeout | undefined;
  let isBeating = false;

  async function beat({ id, token, started }: TakenTask): Promise<void> {
    const claim = decodeToken(token, id);
    if (claim === null) return;
    const result = await heartbeat({ taskId: id, claimNo: claim.claimNo, started, ...lease });
    if (result.kind === 'extended') ends.set(id, result.leaseExpiresAt);
    else if (result.kind === 'gone') ends.set(id, null);
  }

  async function beatAll(): Promise<void> {
    if (isBeating) return;
    isBeating = true;
    // One that is lost is made up for by the next, or the lease runs out.
    await Promise.allSettled([...kept.values()].map(({ task }) => beat(task)));
    isBeating = false;
  }

  return {
    add(taken) {
      for (const task of taken) kept.set(task.id, { task, since: performance.now() });
      if (taken.every(({ place }) => place === null)) return;
      const beatMs = Math.max(beatMsMin, Math.min(beatMsMax, lease.leaseMs / 3));
      timer ??= setInterval(() => void beatAll(), beatMs);
    },
    stop: () => clearInterval(timer),
    renewed(task) {
      // Nothing was waited for.
      if (timer === undefined) return task;
      const known = kept.get(task.id);
      const end = ends.get(task.id);
      if (end === null) return null;
      // Both ends are by the database's clock, and what has passed by ours: they are never compared.
      const gainedMs = end === undefined ? 0 : Date.parse(end) - Date.parse(task.lease_expires_at);
      const passedMs = known === undefined ? 0 : performance.now() - known.since;
      return {
        ...task,
        lease_expires_at: end ?? task.lease_expires_at,
        lease_left_ms: Math.max(0, Math.floor(task.lease_left_ms + gainedMs - passedMs)),
      };
    },
  };
}
