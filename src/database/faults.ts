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
const connectionCodes =
  /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|ECONNABORTED)$/;

/**
 * The connection is gone or none can be had. Whether a statement in flight was committed is unknown.
 * Class 08, shutdown and start-up of the server (57P01–57P03), too many connections (53300), a read-only
 * standby after a failover (25006).
 */
export function isConnectionFault(error: unknown): boolean {
  const state = sqlState(error);
  if (state !== null && /^(08...|57P0[1-3]|53300|25006)$/.test(state)) return true;
  if (!(error instanceof Error)) return false;
  if (error instanceof AggregateError) return error.errors.some(isConnectionFault);
  return (
    connectionCodes.test((error as { code?: string }).code ?? '') || connectionMessages.test(error.message)
  );
}

/** A lock could not be had in time (`lock_timeout`). */
export function isLockTimeout(error: unknown): boolean {
  return sqlState(error) === '55P03';
}
