/** Passed on from the worker's own environment. Everything else stays with it, unless its policy names it. */
const passedOn = ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR', 'USER', 'LOGNAME', 'SHELL'];

/** Never passed on, whatever the policy says: where the database is, and the keys to it and to the server. */
const keptBack = /^(DATABASE_URL|SKIPJACK_.*|PGPASSWORD|PGPASSFILE|PGSERVICEFILE|PGSSLPASSWORD)$/;

/**
 * The environment of a task's program: a few names of the worker's, then what belongs to the user that it runs as,
 * then the task's own, then ours.
 *
 * An allow-list, because a list of secrets to leave out is wrong on the day somebody adds one.
 */
export function programEnvironment({
  policyNames = [],
  user = {},
  own,
  skipjack,
  worker = process.env,
}: {
  policyNames?: string[];
  /** Undefined: not passed on. */
  user?: Record<string, string | undefined>;
  own: Record<string, string>;
  skipjack: Record<string, string>;
  worker?: NodeJS.ProcessEnv;
}): Record<string, string> {
  const names = Object.keys(worker).filter(
    (name) =>
      (passedOn.includes(name) || name.startsWith('LC_') || policyNames.includes(name)) &&
      !keptBack.test(name),
  );
  const inherited = Object.fromEntries(names.map((name) => [name, worker[name]]));
  const all = { ...inherited, ...user, ...own, ...skipjack };
  return Object.fromEntries(
    Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
