/** Passed on from the worker's own environment. Everything else stays with it: database URLs, API keys. */
const passedOn = ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR', 'USER', 'LOGNAME', 'SHELL'];

/**
 * The environment of a task's program: a few names of the worker's, then the task's own, then ours.
 *
 * An allow-list, because a list of secrets to leave out is wrong on the day somebody adds one.
 */
export function programEnvironment(
  own: Record<string, string>,
  skipjack: Record<string, string>,
  worker: NodeJS.ProcessEnv = process.env,
): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(worker)) {
    if (value !== undefined && (passedOn.includes(name) || name.startsWith('LC_'))) environment[name] = value;
  }
  return { ...environment, ...own, ...skipjack };
}
