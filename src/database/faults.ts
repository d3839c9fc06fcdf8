/** What went wrong in the database, sorted by what to do about it. */

/** The SQLSTATE of a Postgres error, or null. */
export function sqlState(error: unknown): string | null {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : null;
}

/** A value the database refuses: one row's fault, never the batch's. */
export function isDataFault(error: unknown): boolean {
  return /^(22|23|54)/.test(sqlState(error) ?? '');
}

/** Serialisation failure or deadlock: nothing happened, the same again may succeed. */
export function isRepeatable(error: unknown): boolean {
  return ['40001', '40P01'].includes(sqlState(error) ?? '');
}

const connectionMessages =
  /connection terminated|timeout exceeded when trying to connect|connection timeout|client was closed|client has encountered a connection error|query read timeout|not queryable|ended unexpectedly/i;
/** Of the socket, or of a machine short of ports, memory or file descriptors. */
const connectionCodes =
  /^(ECONNREFUSED|ECONNRESET|ECONNABORTED|EPIPE|ETIMEDOUT|EHOSTUNREACH|EHOSTDOWN|ENETUNREACH|ENETDOWN|ENETRESET|ENOTFOUND|EAI_AGAIN|EADDRNOTAVAIL|ENOBUFS|EMFILE|ENFILE)$/;

/**
 * Class 08: the connection. Class 53: no disk, memory or connections left. Class 58: a fault of the machine, I/O
 * for one. 57014, 57P01–57P03, 57P05, 25P03, 25P04: a statement or session that an administrator or a time limit
 * ended, a server that stops or starts. 25006: a standby that was the primary, before a failover. 40003: nobody
 * knows whether the statement was completed.
 *
 * XX000 is not here: it passes as seldom as a bug does, and whoever must not give up repeats it anyway.
 */
const passingStates = /^(08...|53...|58...|57014|57P0[1235]|25P0[34]|25006|40003)$/;

/**
 * The database cannot be had, or could not do it just now: the fault is neither in the data nor in what was
 * asked, and passes. Whether a statement in flight was committed is unknown.
 */
export function isConnectionFault(error: unknown): boolean {
  if (passingStates.test(sqlState(error) ?? '')) return true;
  if (!(error instanceof Error)) return false;
  if (error instanceof AggregateError) return error.errors.some(isConnectionFault);
  const { code = '', syscall } = error as { code?: string; syscall?: string };
  // A Unix socket is not there while Postgres restarts, and refuses (EAGAIN) when its backlog is full.
  if (syscall === 'connect' && (code === 'ENOENT' || code === 'EAGAIN')) return true;
  return connectionCodes.test(code) || connectionMessages.test(error.message);
}

/** It took longer than somebody allows: a statement (57014, or our own patience), or a transaction (25P04). */
export function isTimeLimit(error: unknown): boolean {
  if (['57014', '25P04'].includes(sqlState(error) ?? '')) return true;
  return error instanceof Error && /query read timeout/i.test(error.message);
}

/** A lock could not be had in time (`lock_timeout`). */
export function isLockTimeout(error: unknown): boolean {
  return sqlState(error) === '55P03';
}
