import type { ClaimedTask } from '../../core/task-source.ts';
import { runCommand } from './command.ts';
import type { Executor } from './executor.ts';
import { runScript } from './script.ts';

/** The executor of a task, or why this worker cannot run it. */
export type Pick = { executor: Executor } | { why: string };

/** `runHandler` runs the tasks of the handlers named; everything else is the same for every worker. */
export function executorPicker(
  handlerNames: ReadonlySet<string>,
  runHandler: Executor,
): (task: ClaimedTask) => Pick {
  return ({ spec }) => {
    if (spec === null)
      return { why: 'there is nothing to run: it waits for a person or program to claim it' };
    switch (spec.type) {
      case 'command':
        return { executor: runCommand };
      case 'run':
        return { executor: runScript };
      case 'handler':
        if (handlerNames.has(spec.handler)) return { executor: runHandler };
        return { why: `this worker has no handler named ${JSON.stringify(spec.handler)}` };
      default:
        // Tasks come from a server that may be newer than we are.
        return {
          why: `this worker does not know tasks of type ${JSON.stringify((spec as { type: unknown }).type)}`,
        };
    }
  };
}
