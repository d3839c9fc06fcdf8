import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { findSource, maskUrl, readConfig } from '../src/config.ts';

const secret = 'hush';

test('flags win over the environment, which wins over defaults', () => {
  const environment = { SKIPJACK_PORT: '4000', SKIPJACK_CONCURRENCY: '3', SKIPJACK_GRACE: '' };
  const config = readConfig({ port: '5000' }, { environment, defaults: { graceMs: 5_000 } });
  expect(config).toMatchObject({
    port: 5_000,
    concurrency: 3,
    graceMs: 5_000,
    leaseMs: 30_000,
    host: '127.0.0.1',
  });
  expect(findSource('port', { port: '5000' }, environment)).toBe('--port');
  expect(findSource('concurrency', {}, environment)).toBe('SKIPJACK_CONCURRENCY');
  expect(findSource('graceMs', {}, environment)).toBeNull();
});

test('SKIPJACK_DATABASE_URL wins over DATABASE_URL', () => {
  const environment = { DATABASE_URL: 'postgres://one/app', SKIPJACK_DATABASE_URL: 'postgres://two/app' };
  expect(readConfig({}, { environment }).databaseUrl).toBe('postgres://two/app');
});

test('listening goes to the database itself, elsewhere, or nowhere', () => {
  expect(readConfig({}, { environment: {} }).listenUrl).toBeUndefined();
  expect(readConfig({}, { environment: { SKIPJACK_LISTEN_URL: 'off' } }).listenUrl).toBeNull();
  const url = 'postgres://direct/app';
  expect(readConfig({}, { environment: { SKIPJACK_LISTEN_URL: url } }).listenUrl).toBe(url);
});

test('lists are split at commas', () => {
  const environment = { SKIPJACK_QUEUES: 'mail, default,', SKIPJACK_API_KEYS: 'one,two' };
  expect(readConfig({}, { environment })).toMatchObject({
    queues: ['mail', 'default'],
    apiKeys: ['one', 'two'],
  });
});

test('logs are kept for two weeks and events for one, unless it is said otherwise', () => {
  const day = 86_400_000;
  expect(readConfig({}, { environment: {} })).toMatchObject({
    logRetentionMs: 14 * day,
    eventRetentionMs: 7 * day,
  });
  const environment = { SKIPJACK_LOG_RETENTION: '1d', SKIPJACK_EVENT_RETENTION: '2d' };
  expect(readConfig({}, { environment })).toMatchObject({ logRetentionMs: day, eventRetentionMs: 2 * day });
});

test('a configuration is frozen', () => {
  const config = readConfig({}, { environment: {} });
  expect(() => Object.assign(config, { port: 1 })).toThrow(TypeError);
});

test('no way of printing a configuration shows a secret', () => {
  const config = readConfig(
    {},
    {
      environment: {
        DATABASE_URL: `postgres://me:${secret}@db/app?sslpassword=${secret}`,
        SKIPJACK_LISTEN_URL: `postgres://me:${secret}@direct/app`,
        SKIPJACK_URL: `https://me:${secret}@skipjack.example.com`,
        SKIPJACK_API_KEYS: `${secret},${secret}2`,
        SKIPJACK_API_KEY: secret,
      },
    },
  );
  for (const printed of [`${config}`, JSON.stringify(config), JSON.stringify({ config }), inspect(config)]) {
    expect(printed).not.toContain(secret);
    expect(printed).toContain('me:***@db/app');
  }
});

test('what is no URL is masked whole', () => {
  expect(maskUrl(`user:${secret}@db`)).not.toContain(secret);
  expect(maskUrl(secret)).toBe('***');
});

test.each([
  [
    'SKIPJACK_PORT',
    'eighty',
    'SKIPJACK_PORT "eighty" is not a whole number from 0 to 65535. For example: SKIPJACK_PORT=3000',
  ],
  ['SKIPJACK_LEASE', '10ms', 'SKIPJACK_LEASE "10ms" is not a duration from 1s to 1d'],
  ['SKIPJACK_EVENT_RETENTION', '1s', 'SKIPJACK_EVENT_RETENTION "1s" is not a duration from 1m to 3650d'],
  ['SKIPJACK_LOG_LEVEL', 'loud', 'SKIPJACK_LOG_LEVEL "loud" is none of fatal, error,'],
  ['SKIPJACK_QUEUES', ' , ', 'SKIPJACK_QUEUES " , " is empty'],
  ['SKIPJACK_QUEUES', '$engine', 'has a name that begins with "$"'],
  ['SKIPJACK_HOST', 'a host', 'SKIPJACK_HOST "a host" is not a host name or address'],
  ['SKIPJACK_URL', 'skipjack:3000', 'SKIPJACK_URL "skipjack:3000" is not an http or https URL'],
  ['SKIPJACK_CONCURRENCY', '0', 'is not a whole number from 1 to 1000'],
])('%s=%s is refused with an example', (variable, value, message) => {
  const read = () => readConfig({}, { environment: { [variable]: value } });
  expect(read).toThrow(message);
  expect(read).toThrow(`For example: ${variable}=`);
});

test.each(['DATABASE_URL', 'SKIPJACK_LISTEN_URL', 'SKIPJACK_API_KEY', 'SKIPJACK_API_KEYS'])(
  'a wrong %s is named without its value',
  (variable) => {
    const read = () => readConfig({}, { environment: { [variable]: `mysql://${secret} ${secret}` } });
    expect(read).toThrow(new RegExp(`^${variable} (is|has) `));
    expect(read).not.toThrow(secret);
  },
);
