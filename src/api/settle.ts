/** Settling one attempt, and what its outcomes mean over HTTP. */
import type { z } from 'zod';
import { SkipjackError } from '../core/errors.ts';
import type { Outcome } from '../core/task-source.ts';
import { type Claim, decodeToken, isToken } from '../core/token.ts';
import type { Queue } from '../queue/queue.ts';
import { defined } from './defined.ts';
import { invalidRequest, notFound } from './http/problem.ts';
import type { settledSchema, settlementSchema } from './schemas/settlement.ts';

type Settlement = z.output<typeof settlementSchema>;
type Settled = z.input<typeof settledSchema>;

/** @throws SkipjackError when nothing was settled. */
export async function settleAttempt(
  queue: Queue,
  settlement: Settlement,
  { pointer = '' }: { pointer?: string } = {},
): Promise<Settled> {
  const { id } = settlement;
  const claim = readToken(settlement, pointer);
  const result = await queue.settle({ ...claim, ...toOutcome(settlement) });
  switch (result.kind) {
    case 'settled':
      return { id, state: result.state, repeated: result.repeated, next_try_at: result.nextTryAt };
    case 'lease_lost':
      throw leaseLost();
    case 'already_settled':
      throw new SkipjackError(
        'already_settled',
        `The task is ${result.state} already. Nothing was changed.`,
        {
          extra: { state: result.state },
        },
      );
    case 'not_found':
      throw notFound('task', id);
    case 'token_mismatch':
      throw tokenMismatch();
    case 'invalid':
      throw invalidRequest([{ pointer, message: `Postgres does not take it: ${result.message}` }]);
  }
}

/** The claim that the token stands for. */
export function readToken({ id, token }: { id: string; token: string }, pointer = ''): Claim {
  const claim = decodeToken(token, id);
  if (claim !== null) return claim;
  if (isToken(token)) throw tokenMismatch();
  throw invalidRequest([
    { pointer: `${pointer}/token`, message: 'is not a token: hand it over as the claim answered it' },
  ]);
}

export function leaseLost(): SkipjackError {
  return new SkipjackError(
    'lease_lost',
    'This claim is over: its lease ran out, or it was given back. Somebody else may hold the task. Nothing was changed.',
  );
}

function tokenMismatch(): SkipjackError {
  return new SkipjackError('token_mismatch', 'The token belongs to another task. Nothing was changed.');
}

function toOutcome(settlement: Settlement): Outcome {
  if (settlement.outcome === 'released') {
    return { kind: 'released', ...defined({ delayMs: settlement.delay }) };
  }
  const { output = null, exit_code, run_ms, cpu_ms, memory_peak_bytes } = settlement;
  const figures = { exitCode: exit_code, runMs: run_ms, cpuMs: cpu_ms, memoryPeakBytes: memory_peak_bytes };
  const attempted = { output, ...defined(figures) };
  if (settlement.outcome === 'failed' || settlement.outcome === 'timed_out') {
    const { outcome: kind, error, retry } = settlement;
    return { kind, error, ...attempted, ...defined({ retry }) };
  }
  return { kind: settlement.outcome, ...attempted };
}
