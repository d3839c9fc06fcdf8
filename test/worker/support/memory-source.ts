import type { Json } from '../../../src/core/json.ts';
import type { NewTask } from '../../../src/core/task.ts';
import type {
  ClaimedTask,
  ClaimRequest,
  EnqueueResult,
  HeartbeatResult,
  Lease,
  LogChunk,
  LogResult,
  Outcome,
  Settlement,
  SettleResult,
  TaskSource,
  WorkerInfo,
} from '../../../src/core/task-source.ts';
import { encodeToken } from '../../../src/core/token.ts';

interface Row {
  task: NewTask;
  state: 'active' | 'completed' | 'failed' | 'cancelled';
  claimNo: number;
  claimed: boolean;
  started: boolean;
  cancelAsked: boolean;
  failures: number;
  availableAtMs: number;
  outcomes: Outcome[];
}

/**
 * A task source in memory with the port's promises: claim numbers as fence, leases that a test takes away,
 * waiting claims, hints. No clock: nothing expires by itself.
 */
export class MemorySource implements TaskSource {
  readonly rows = new Map<string, Row>();
  readonly claims: ClaimRequest[] = [];
  readonly beats: Lease[][] = [];
  readonly workers = new Map<string, WorkerInfo>();
  readonly #keys = new Map<string, string>();
  readonly #hints = new Set<() => void>();
  readonly #watchers = new Set<() => void>();
  /** A test puts something here to make the next calls fail, wait, or answer otherwise. */
  before: { [Call in 'claim' | 'settle' | 'heartbeat']?: () => Promise<void> } = {};
  /** An aborted claim hands over what there is all the same. */
  handOverOnAbort = false;
  /** Outputs of tasks that need not be here. */
  readonly outputs = new Map<string, Json>();
  /** What the next claims are told of their leases. */
  leaseLeftMs = 30_000;

  /** What the attempts said, by the id of their task. */
  readonly logs = new Map<string, string[]>();

  async appendLogs(chunks: LogChunk[]): Promise<LogResult[]> {
    for (const { id, lines } of chunks) {
      this.logs.set(id, [...(this.logs.get(id) ?? []), ...lines.map((line) => line.text)]);
    }
    return chunks.map(() => ({ kind: 'kept' }));
  }

  async findHeld(claims: { id: string; token: string }[]): Promise<{ instance: string; held: boolean[] }> {
    return { instance: 'memory', held: claims.map(({ id }) => this.rows.get(id)?.claimed ?? false) };
  }

  readOutput(taskId: string): Promise<Json> {
    return Promise.resolve(this.outputs.get(taskId) ?? null);
  }

  add(...tasks: NewTask[]): void {
    for (const task of tasks) {
      this.rows.set(task.id, {
        task,
        state: 'active',
        claimNo: 0,
        claimed: false,
        started: false,
        cancelAsked: false,
        failures: 0,
        availableAtMs: 0,
        outcomes: [],
      });
    }
    this.#changed();
  }

  row(id: string): Row {
    const row = this.rows.get(id);
    if (row === undefined) throw new Error(`no task ${id}`);
    return row;
  }

  cancel(id: string): void {
    this.row(id).cancelAsked = true;
    for (const hint of this.#hints) hint();
  }

  hint(): void {
    for (const hint of this.#hints) hint();
  }

  /** As reaping does: the claim is nobody's any more. */
  takeAway(id: string): void {
    const row = this.row(id);
    row.claimed = false;
    row.availableAtMs = Number.POSITIVE_INFINITY;
  }

  async claim(request: ClaimRequest): Promise<ClaimedTask[]> {
    this.claims.push(request);
    await this.before.claim?.();
    for (;;) {
      const aborted = request.signal?.aborted === true;
      if (!aborted || this.handOverOnAbort) {
        const tasks = this.#take(request);
        if (tasks.length > 0 || request.waitMs === 0) return tasks;
      }
      if (aborted) return [];
      await this.#nextChange(request.signal);
    }
  }

  async settle(settlements: Settlement[]): Promise<SettleResult[]> {
    await this.before.settle?.();
    const results = settlements.map((settlement) => this.#settleOne(settlement));
    this.#changed();
    return results;
  }

  async heartbeat(leases: Lease[]): Promise<HeartbeatResult[]> {
    this.beats.push(leases);
    await this.before.heartbeat?.();
    return leases.map(({ id, token, started }): HeartbeatResult => {
      const row = this.rows.get(id);
      if (!row?.claimed || encodeToken({ taskId: id, claimNo: row.claimNo, processId: null }) !== token)
        return { kind: 'gone' };
      row.started ||= started;
      return row.cancelAsked
        ? { kind: 'stop', reason: 'cancelled' }
        : { kind: 'extended', leaseExpiresAt: new Date().toISOString() };
    });
  }

  async enqueue(tasks: NewTask[]): Promise<EnqueueResult[]> {
    return tasks.map((task) => {
      const { idempotency_key: key } = task;
      const made = key === null ? undefined : this.#keys.get(key);
      if (made !== undefined) {
        const same = JSON.stringify(this.row(made).task.spec) === JSON.stringify(task.spec);
        return { kind: same ? 'existing' : 'key_conflict', id: made };
      }
      if (key !== null) this.#keys.set(key, task.id);
      this.add(task);
      return { kind: 'created', id: task.id };
    });
  }

  async announceWorker(worker: WorkerInfo): Promise<void> {
    this.workers.set(worker.id, worker);
  }

  async removeWorker(id: string): Promise<void> {
    this.workers.delete(id);
  }

  onStopHint(_worker: string, listener: () => void): () => void {
    this.#hints.add(listener);
    return () => this.#hints.delete(listener);
  }

  #take({ queues, limit, startLimit = limit }: ClaimRequest): ClaimedTask[] {
    const tasks: ClaimedTask[] = [];
    for (const row of this.rows.values()) {
      if (tasks.length === limit) break;
      const { task } = row;
      const ready = row.state === 'active' && !row.claimed && row.availableAtMs === 0;
      if (!ready || !queues.includes(task.queue)) continue;
      row.claimed = true;
      row.claimNo += 1;
      row.started = tasks.length < startLimit;
      tasks.push({
        ...task,
        process: null,
        needs: {},
        large_needs: {},
        token: encodeToken({ taskId: task.id, claimNo: row.claimNo, processId: null }),
        attempt: row.failures + 1,
        attempts_max: task.retry?.attempts ?? 1,
        started: row.started,
        wait_ms: 0,
        created_at: new Date().toISOString(),
        lease_expires_at: new Date().toISOString(),
        lease_left_ms: this.leaseLeftMs,
      });
    }
    return tasks;
  }

  #settleOne({ id, token, ...outcome }: Settlement): SettleResult {
    const row = this.rows.get(id);
    if (row === undefined) return { kind: 'not_found' };
    const ours = row.claimed && encodeToken({ taskId: id, claimNo: row.claimNo, processId: null }) === token;
    if (!ours)
      return row.state === 'active' ? { kind: 'lease_lost' } : { kind: 'already_settled', state: row.state };
    row.claimed = false;
    row.outcomes.push(outcome);
    if (outcome.kind === 'completed' || outcome.kind === 'cancelled') {
      row.state = outcome.kind;
    } else if (outcome.kind === 'released') {
      row.availableAtMs = outcome.delayMs === undefined ? 0 : Number.POSITIVE_INFINITY;
    } else {
      row.failures += 1;
      const again = outcome.retry !== false && row.failures < (row.task.retry?.attempts ?? 1);
      if (!again) row.state = 'failed';
    }
    return { kind: 'settled', state: row.state, nextTryAt: null, repeated: false };
  }

  #changed(): void {
    for (const wake of [...this.#watchers]) wake();
  }

  #nextChange(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#watchers.delete(wake);
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      this.#watchers.add(wake);
      signal?.addEventListener('abort', wake);
    });
  }
}
