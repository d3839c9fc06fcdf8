import type { Spec } from '../../core/spec.ts';
import type { ClaimedTask } from '../../core/task-source.ts';
import type { Executor } from './executor.ts';

/** The executor of a task, or why this worker cannot run it. */
export type Pick = { executor: Executor } | { why: string };

/** What runs the tasks of each type; a worker may have none for one. */
export type Executors = Partial<Record<Spec['type'], Executor>>;

export function executorPicker(
  executors: Executors,
  /** Null: the executor of handlers knows them itself. */
  handlerNames: ReadonlySet<string> | null,
): (task: ClaimedTask) => Pick {
  return ({ spec }) => {
    if (spec === null)
      return { why: 'there is nothing to run: it waits for a person or program to claim it' };
    const executor = Object.hasOwn(executors, spec.type) ? executors[spec.type] : undefined;
    if (executor === undefined) {
      // Tasks come from a server that may be newer than we are.
      return {
        why:
          spec.type === 'container'
            ? 'this worker has no container runtime: neither docker nor podman answered when it started'
            : `this worker does not run tasks of type ${JSON.stringify(spec.type)}`,
      };
    }
    if (spec.type === 'handler' && handlerNames?.has(spec.handler) === false)
      return { why: `this worker has no handler named ${JSON.stringify(spec.handler)}` };
    return { executor };
  };
}
