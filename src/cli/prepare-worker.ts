/** What a worker is given beside its tasks: read before anything is started, so that mistakes are told at once. */
import type { Config } from '../config.ts';
import { type ContainerRuntime, findRuntime } from '../worker/executors/container/runtime.ts';
import { defaultPolicy, type WorkerPolicy } from '../worker/policy.ts';
import { readPolicyFile } from './policy-file.ts';

export interface PreparedWorker {
  policy: WorkerPolicy;
  containerRuntime: ContainerRuntime | null;
}

/** @throws SkipjackError `usage` for a policy file that cannot be read or has mistakes. */
export async function prepareWorker(
  config: Pick<Config, 'policy' | 'containerRuntime' | 'secretsDir'>,
): Promise<PreparedWorker> {
  const policy = config.policy === null ? defaultPolicy : await readPolicyFile(config.policy);
  return {
    policy: { ...policy, secretsDir: config.secretsDir ?? policy.secretsDir },
    containerRuntime: await findRuntime(config.containerRuntime ?? policy.containers.runtime),
  };
}
