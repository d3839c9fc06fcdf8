import { SkipjackError } from '../core/errors.ts';

/**
 * Asks for a task, and where there is none for a process: an id does not say of what it is.
 *
 * @throws SkipjackError `not_found` when it is of neither.
 */
export async function askBoth<First, Second>(
  id: string,
  first: () => Promise<First>,
  second: () => Promise<Second>,
): Promise<First | Second> {
  return unlessNotFound(first, () =>
    unlessNotFound(second, () => {
      throw new SkipjackError('not_found', `There is no task and no process with the id "${id}".`);
    }),
  );
}

async function unlessNotFound<First, Second>(
  ask: () => Promise<First>,
  otherwise: () => Promise<Second>,
): Promise<First | Second> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof SkipjackError && error.code === 'not_found') return otherwise();
    throw error;
  }
}
