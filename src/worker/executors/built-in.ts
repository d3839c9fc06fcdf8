import type { CheckedOptions } from '../options.ts';
import { readPlace } from '../place.ts';
import { commandExecutor } from './command.ts';
import { containerExecutor } from './container/container.ts';
import { handlerExecutor } from './handler.ts';
import type { Executors } from './pick.ts';
import { scriptExecutor } from './script.ts';

/** The ways to run tasks that a worker has by itself. */
export function builtInExecutors({
  id,
  source,
  handlers,
  containerRuntime,
  policy,
  log,
}: Pick<CheckedOptions, 'id' | 'source' | 'handlers' | 'containerRuntime' | 'policy' | 'log'>): Executors {
  return {
    command: commandExecutor(policy.commands),
    run: scriptExecutor(policy.commands),
    handler: handlerExecutor({ handlers, source, log }),
    ...(containerRuntime === null
      ? {}
      : {
          container: containerExecutor({
            runtime: containerRuntime,
            policy: policy.containers,
            worker: id,
            place: readPlace(),
            instance: instanceOf(source),
          }),
        }),
  };
}

/** Asked once; a failure is forgotten, so that the next attempt asks again. */
function instanceOf(source: Pick<CheckedOptions['source'], 'findHeld'>): () => Promise<string> {
  let known: Promise<string> | null = null;
  return () => {
    known ??= source.findHeld([]).then(
      ({ instance }) => instance,
      (error: unknown) => {
        known = null;
        throw error;
      },
    );
    return known;
  };
}
