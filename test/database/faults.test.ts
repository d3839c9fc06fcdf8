import pg from 'pg';
import { expect, test } from 'vitest';
import { isConnectionFault, isDataFault } from '../../src/database/faults.ts';

const fault = (code: string, more: object = {}) => Object.assign(new Error('a fault'), { code, ...more });

test.for([
  ['a full disk', '53100'],
  ['no memory left', '53200'],
  ['no connection left', '53300'],
  ['an I/O error', '58030'],
  ['a statement that an administrator cancelled', '57014'],
  ['a session that an administrator ended', '57P01'],
  ['a server that starts', '57P03'],
  ['a session that was idle for too long', '57P05'],
  ['a transaction that was idle for too long', '25P03'],
  ['a standby', '25006'],
  ['a statement of which nobody knows whether it was completed', '40003'],
  ['a broken connection', '08006'],
  ['a socket that is reset', 'ECONNRESET'],
] as const)('%s passes', ([, code]) => {
  expect(isConnectionFault(fault(code))).toBe(true);
  expect(isDataFault(fault(code))).toBe(false);
});

test.for([
  ['a value out of range', '22003'],
  ['a check', '23514'],
  ['a row that is too large', '54000'],
  ['a table that is missing', '42P01'],
  ['a fault inside Postgres', 'XX000'],
] as const)('%s does not', ([, code]) => {
  expect(isConnectionFault(fault(code))).toBe(false);
});

test('a Unix socket that is not there passes, another file that is missing does not', async () => {
  const client = new pg.Client({ host: '/tmp/no-postgres-has-ever-run-here' });
  const refused = await client.connect().catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: 'ENOENT' });
  expect(isConnectionFault(refused)).toBe(true);
  expect(isConnectionFault(fault('ENOENT', { syscall: 'open' }))).toBe(false);
});
