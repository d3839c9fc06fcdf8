/**
 * Configuration: flags > environment > defaults, checked once, frozen. Nothing else reads the environment.
 *
 * Secrets (API keys, passwords in database URLs) are masked whenever a configuration is printed, logged or
 * turned into JSON. An empty variable counts as one that is not set: compose files pass them on that way.
 */
import { inspect } from 'node:util';
import { z } from 'zod';
import { parseDuration } from './core/durations.ts';
import { SkipjackError } from './core/errors.ts';

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

export interface Settings {
  /** Null: use the embedded Postgres. */
  databaseUrl: string | null;
  /** A direct URL for LISTEN; null: no listening, polling alone; undefined: the database's own URL. */
  listenUrl: string | null | undefined;
  host: string;
  port: number;
  apiKeys: string[];
  /** Host headers accepted beside the server's own names. */
  allowedHosts: string[];
  /** The server that client commands and HTTP workers speak to; null: not said. */
  serverUrl: string | null;
  /** What they show it. */
  apiKey: string | null;
  /** Where the embedded Postgres keeps its data. */
  data: string;
  /** Null: what the worker can run. */
  queues: string[] | null;
  concurrency: number;
  leaseMs: number;
  /** How long a stop waits for what runs. */
  graceMs: number;
  /** A file that says what a worker allows its tasks; null: the defaults. */
  policy: string | null;
  /** `docker`, `podman` or a path; null: what is found. */
  containerRuntime: string | null;
  /** A folder with a file for each secret. */
  secretsDir: string | null;
  /** Where a worker serves its metrics; null: nowhere. */
  metricsPort: number | null;
  metricsHost: string;
  /** How long the logs of tasks are kept. */
  logRetentionMs: number;
  /** How long events that came from outside are kept. */
  eventRetentionMs: number;
  logLevel: (typeof logLevels)[number];
}

export type Config = Readonly<Settings> & { toString(): string; toJSON(): Record<string, unknown> };

/** What commander hands over: each flag by its camelCase name, as text. */
export type Flags = Partial<Record<string, unknown>>;

interface Setting {
  flag?: keyof Settings | 'server' | 'lease' | 'grace';
  variables: string[];
  schema: z.ZodType<unknown, string>;
  example: string;
  /** Its value is never shown, not even when it is wrong. */
  secret?: boolean;
}

export const defaultServerUrl = 'http://127.0.0.1:3000';

const defaults: Settings = {
  databaseUrl: null,
  listenUrl: undefined,
  host: '127.0.0.1',
  port: 3000,
  apiKeys: [],
  allowedHosts: [],
  serverUrl: null,
  apiKey: null,
  data: '.skipjack',
  queues: null,
  concurrency: 10,
  leaseMs: 30_000,
  graceMs: 30_000,
  policy: null,
  containerRuntime: null,
  secretsDir: null,
  metricsPort: null,
  metricsHost: '127.0.0.1',
  logRetentionMs: 14 * 86_400_000,
  eventRetentionMs: 7 * 86_400_000,
  logLevel: 'info',
};

const settings: Record<keyof Settings, Setting> = {
  databaseUrl: {
    flag: 'databaseUrl',
    variables: ['SKIPJACK_DATABASE_URL', 'DATABASE_URL'],
    schema: urlWith(['postgres:', 'postgresql:'], 'is not the URL of a Postgres database'),
    example: 'postgres://user:password@localhost:5432/app',
    secret: true,
  },
  listenUrl: {
    variables: ['SKIPJACK_LISTEN_URL'],
    schema: z.union([
      z.literal('off').transform(() => null),
      urlWith(['postgres:', 'postgresql:'], 'is neither "off" nor the URL of a Postgres database'),
    ]),
    example: 'postgres://user:password@localhost:5432/app',
    secret: true,
  },
  host: {
    flag: 'host',
    variables: ['SKIPJACK_HOST'],
    schema: hostSchema(),
    example: '127.0.0.1',
  },
  port: {
    flag: 'port',
    variables: ['SKIPJACK_PORT'],
    schema: wholeNumber(0, 65_535),
    example: '3000',
  },
  apiKeys: {
    variables: ['SKIPJACK_API_KEYS'],
    schema: listOf(
      z.string().regex(/^[\x21-\x7e]+$/, 'has a key with spaces or letters that an HTTP header cannot carry'),
    ),
    example: '"$(openssl rand -hex 16)"',
    secret: true,
  },
  allowedHosts: {
    variables: ['SKIPJACK_ALLOWED_HOSTS'],
    schema: listOf(z.string().regex(/^[A-Za-z0-9.:[\]_-]+$/, 'has something that is not a host name')),
    example: 'skipjack.internal,localhost:8080',
  },
  serverUrl: {
    flag: 'server',
    variables: ['SKIPJACK_URL'],
    schema: urlWith(['http:', 'https:'], 'is not an http or https URL'),
    example: defaultServerUrl,
  },
  apiKey: {
    variables: ['SKIPJACK_API_KEY'],
    schema: z.string().regex(/^[\x21-\x7e]+$/, 'has spaces or letters that an HTTP header cannot carry'),
    example: 'one of the keys in SKIPJACK_API_KEYS of the server',
    secret: true,
  },
  data: {
    flag: 'data',
    variables: ['SKIPJACK_DATA'],
    schema: pathSchema(),
    example: '.skipjack',
  },
  queues: {
    flag: 'queues',
    variables: ['SKIPJACK_QUEUES'],
    schema: listOf(
      z
        .string()
        .max(200, 'has a name longer than 200')
        .refine((name) => !name.startsWith('$'), 'has a name that begins with "$"'),
    ),
    example: 'default,mail',
  },
  concurrency: {
    flag: 'concurrency',
    variables: ['SKIPJACK_CONCURRENCY'],
    schema: wholeNumber(1, 1_000),
    example: '10',
  },
  leaseMs: {
    flag: 'lease',
    variables: ['SKIPJACK_LEASE'],
    schema: durationBetween('1s', '1d'),
    example: '30s',
  },
  graceMs: {
    flag: 'grace',
    variables: ['SKIPJACK_GRACE'],
    schema: durationBetween('0s', '1d'),
    example: '30s',
  },
  policy: {
    flag: 'policy',
    variables: ['SKIPJACK_POLICY'],
    schema: pathSchema(),
    example: '/etc/skipjack/policy.yaml',
  },
  containerRuntime: {
    flag: 'containerRuntime',
    variables: ['SKIPJACK_CONTAINER_RUNTIME'],
    schema: pathSchema(),
    example: 'docker',
  },
  secretsDir: {
    variables: ['SKIPJACK_SECRETS_DIR'],
    schema: pathSchema(),
    example: '/run/secrets',
  },
  metricsPort: {
    flag: 'metricsPort',
    variables: ['SKIPJACK_METRICS_PORT'],
    schema: wholeNumber(0, 65_535),
    example: '9464',
  },
  metricsHost: {
    flag: 'metricsHost',
    variables: ['SKIPJACK_METRICS_HOST'],
    schema: hostSchema(),
    example: '0.0.0.0',
  },
  logRetentionMs: {
    variables: ['SKIPJACK_LOG_RETENTION'],
    schema: durationBetween('1m', '3650d'),
    example: '14d',
  },
  eventRetentionMs: {
    variables: ['SKIPJACK_EVENT_RETENTION'],
    schema: durationBetween('1m', '3650d'),
    example: '7d',
  },
  logLevel: {
    variables: ['SKIPJACK_LOG_LEVEL'],
    schema: z.string().refine((level) => (logLevels as readonly string[]).includes(level), {
      error: `is none of ${logLevels.join(', ')}`,
    }),
    example: 'info',
  },
};

/**
 * Reads the configuration.
 *
 * @throws SkipjackError `usage`, naming the flag or variable, what is wrong with it, and an example.
 */
export function readConfig(
  flags: Flags = {},
  {
    environment = process.env,
    defaults: own = {},
  }: { environment?: Record<string, string | undefined>; defaults?: Partial<Settings> } = {},
): Config {
  const values: Record<string, unknown> = { ...defaults, ...own };
  for (const [name, setting] of Object.entries(settings)) {
    const given = findGiven(setting, flags, environment);
    if (given) values[name] = check(setting, given);
  }
  return freeze(values as unknown as Settings);
}

/** Which flag or variable says `name`, as people wrote it; null when it is a default. */
export function findSource(
  name: keyof Settings,
  flags: Flags = {},
  environment: Record<string, string | undefined> = process.env,
): string | null {
  return findGiven(settings[name], flags, environment)?.source ?? null;
}

/** `url` with `***` for its password, also one given as a parameter. */
export function maskUrl(url: string): string {
  const masked = URL.canParse(url) ? new URL(url) : null;
  // Without "//" what is before the "@" is not where it is looked for.
  if (masked === null || !url.includes('//')) return '***';
  if (masked.password !== '') masked.password = '***';
  for (const name of masked.searchParams.keys()) {
    if (/password|passphrase|secret/i.test(name)) masked.searchParams.set(name, '***');
  }
  return masked.href;
}

interface Given {
  source: string;
  value: string;
}

function findGiven(
  { flag, variables }: Setting,
  flags: Flags,
  environment: Record<string, string | undefined>,
): Given | null {
  const said = flag === undefined ? undefined : flags[flag];
  if (flag !== undefined && said !== undefined) return { source: flagName(flag), value: String(said) };
  for (const variable of variables) {
    const value = environment[variable];
    if (value !== undefined && value !== '') return { source: variable, value };
  }
  return null;
}

function check({ schema, example, secret }: Setting, { source, value }: Given): unknown {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const shown = secret ? '' : ` "${value}"`;
  const wrong = parsed.error.issues.map((issue) => issue.message)[0];
  const separator = source.startsWith('--') ? ' ' : '=';
  throw new SkipjackError(
    'usage',
    `${source}${shown} ${wrong}. For example: ${source}${separator}${example}`,
  );
}

function flagName(flag: string): string {
  return `--${flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function freeze(values: Settings): Config {
  const shown = () => ({
    ...values,
    databaseUrl: values.databaseUrl && maskUrl(values.databaseUrl),
    listenUrl: values.listenUrl && maskUrl(values.listenUrl),
    serverUrl: values.serverUrl && maskUrl(values.serverUrl),
    apiKeys: values.apiKeys.map(() => '***'),
    apiKey: values.apiKey && '***',
  });
  // Not enumerable: a copy by spread is settings only, and printing one is the copier's affair.
  Object.defineProperties(values, {
    toJSON: { value: shown },
    toString: { value: () => JSON.stringify(shown()) },
    [inspect.custom]: { value: shown },
  });
  return Object.freeze(values) as Config;
}

function urlWith(protocols: string[], wrong: string) {
  return z.string().refine((text) => URL.canParse(text) && protocols.includes(new URL(text).protocol), wrong);
}

function hostSchema() {
  return z.string().regex(/^[A-Za-z0-9.:_-]+$/, 'is not a host name or address');
}

function pathSchema() {
  return z.string().refine((path) => !path.includes('\0'), 'is not a path');
}

function wholeNumber(min: number, max: number) {
  const wrong = `is not a whole number from ${min} to ${max}`;
  return z
    .string()
    .regex(/^\d{1,9}$/, wrong)
    .transform(Number)
    .refine((value) => value >= min && value <= max, wrong);
}

function durationBetween(min: string, max: string) {
  const wrong = `is not a duration from ${min} to ${max}, written as 500ms, 30s, 10m or 2h`;
  return z
    .string()
    .transform((text) => parseDuration(text) ?? Number.NaN)
    .refine((ms) => ms >= (parseDuration(min) ?? 0) && ms <= (parseDuration(max) ?? 0), wrong);
}

/** Comma separated; blanks around the parts are not theirs. */
function listOf(part: z.ZodType<string, string>) {
  return z
    .string()
    .transform((text) =>
      text
        .split(',')
        .map((each) => each.trim())
        .filter((each) => each !== ''),
    )
    .pipe(z.array(part).min(1, 'is empty'));
}
