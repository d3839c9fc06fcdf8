import { type Attempt, labelArguments } from './attempt.ts';
import { runtimeFailure, throwIfStopped } from './errors.ts';
import { make } from './make.ts';

/** One fresh volume for each shared path. */
export async function makeVolumes(attempt: Attempt): Promise<void> {
  const paths = [...new Set(attempt.spec.volumes ?? [])];
  for (const [index, path] of paths.entries()) {
    throwIfStopped(attempt.context.signal);
    const name = `${attempt.prefix}-volume-${index + 1}`;
    attempt.volumes.push([name, path]);
    const end = await make(attempt, ['volume', 'create', ...labelArguments(attempt), name]);
    if (end.kind !== 'exited' || end.exitCode !== 0)
      throw runtimeFailure(attempt.runtime, 'making a volume', end);
  }
}
