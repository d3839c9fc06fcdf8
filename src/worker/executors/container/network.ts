import { type Attempt, labelArguments } from './attempt.ts';
import { runtimeFailure } from './errors.ts';
import { make } from './make.ts';

/** A network of the attempt's own, in which its sidecars have names. Without a way out if the task asked for none. */
export async function makeNetwork(attempt: Attempt): Promise<void> {
  const name = `${attempt.prefix}-network`;
  attempt.network = name;
  const internal = attempt.allowed.isolated ? ['--internal'] : [];
  const end = await make(attempt, ['network', 'create', ...internal, ...labelArguments(attempt), name]);
  if (end.kind !== 'exited' || end.exitCode !== 0)
    throw runtimeFailure(attempt.runtime, 'making a network', end);
}

/** The network that a container of the attempt is born in, and those that it joins before it starts. */
export function networksOf({ network, allowed }: Attempt): { first: string | null; others: string[] } {
  const all = [...(network === null ? [] : [network]), ...allowed.networks];
  const [first = allowed.isolated ? 'none' : null, ...others] = all;
  return { first, others };
}
