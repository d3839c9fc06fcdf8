/**
 * A worker's policy as people write it: a YAML or JSON file, read once when the worker starts.
 *
 * @example
 * commands: { allow: [/usr/bin/ffmpeg, git], scripts: false, workdir: /srv/work, env: [GIT_SSH], uid: 1000, gid: 1000 }
 * containers:
 *   images: ["registry.example.com/*"]
 *   mounts: [/srv/media, "/srv/models:ro"]
 *   networks: [backend]
 *   limits: { cpus: 2, memory: 2g, pids: 256 }
 * secrets: { dir: /run/secrets }
 * logs: { limit: 4m }
 */
import { readFile } from 'node:fs/promises';
import { parse, YAMLParseError } from 'yaml';
import { z } from 'zod';
import { parseBytes } from '../core/bytes.ts';
import { describeIssue } from '../core/schema-words.ts';
import { toProblems } from '../core/task-input.ts';
import { defaultPolicy, type WorkerPolicy } from '../worker/policy.ts';
import { usage } from './options.ts';

const absolutePath = z.string().regex(/^\/[^\0]*$/, 'is not an absolute path');
const size = (min: string, max: string) =>
  z
    .string()
    .refine(
      (text) => inRange(parseBytes(text), min, max),
      `is not a size from ${min} to ${max}: write 512m or 2g`,
    )
    .transform((text) => parseBytes(text) ?? 0);

/** Databases and keys are nobody's: no list hands them on. */
const variableName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is not the name of a variable')
  .refine(
    (name) => !/^(SKIPJACK_|PG|DATABASE_URL$)/.test(name),
    'belongs to the worker (SKIPJACK_*, PG*, DATABASE_URL) and is never handed on',
  );

const policySchema = z.strictObject({
  commands: z
    .strictObject({
      allow: z.array(z.string().min(1)).optional(),
      scripts: z.boolean().optional(),
      workdir: absolutePath.optional(),
      env: z.array(variableName).optional(),
      uid: z.int().min(0).max(4_294_967_294).optional(),
      gid: z.int().min(0).max(4_294_967_294).optional(),
    })
    .optional(),
  containers: z
    .strictObject({
      runtime: z.string().min(1).optional(),
      images: z.array(z.string().min(1)).optional(),
      mounts: z.array(absolutePath).optional(),
      networks: z
        .array(
          z
            .string()
            .regex(/^[A-Za-z0-9][\w.-]*$/, 'is not the name of a network')
            .refine((name) => name !== 'host', 'is the network of the machine, which no task may use'),
        )
        .optional(),
      limits: z
        .strictObject({
          cpus: z.number().min(0.01).max(1_024).optional(),
          memory: size('6m', '1024g').optional(),
          pids: z.int().min(1).max(1_000_000).optional(),
        })
        .optional(),
      gpus: z.boolean().optional(),
      capabilities: z
        .array(z.string().regex(/^[A-Z_]{1,50}$/, 'is not a capability, as NET_ADMIN'))
        .optional(),
    })
    .optional(),
  secrets: z.strictObject({ dir: absolutePath.optional() }).optional(),
  logs: z.strictObject({ limit: size('64k', '16m').optional() }).optional(),
});

/** @throws SkipjackError `usage`, naming the file, the place in it, what is wrong and what to write. */
export async function readPolicyFile(path: string): Promise<WorkerPolicy> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw usage(`--policy ${path} cannot be read: ${(error as Error).message}.`);
  }
  return parsePolicy(text, path);
}

/** The same of a text. */
export function parsePolicy(text: string, path = 'policy.yaml'): WorkerPolicy {
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 0 }) ?? {};
  } catch (error) {
    const at = error instanceof YAMLParseError ? error.linePos?.[0] : undefined;
    const place = at === undefined ? '' : `:${at.line}:${at.col}`;
    throw usage(`--policy ${path}${place}: ${(error as Error).message.split('\n', 1)[0]}`);
  }
  const parsed = policySchema.safeParse(value, { error: describeIssue });
  if (!parsed.success) {
    const said = toProblems(parsed.error).map(({ pointer, message }) => `${pointer || '/'} ${message}`);
    throw usage(`--policy ${path}: ${said.join('; ')}`);
  }
  return toPolicy(parsed.data);
}

function toPolicy({ commands, containers, secrets, logs }: z.output<typeof policySchema>): WorkerPolicy {
  const byDefault = defaultPolicy;
  return {
    commands: {
      ...byDefault.commands,
      ...defined(commands),
      // Who lists executables does not mean a shell that runs any of them.
      scripts: commands?.scripts ?? commands?.allow === undefined,
    },
    containers: {
      ...byDefault.containers,
      ...defined({ ...containers, limits: undefined }),
      limits: {
        cpus: containers?.limits?.cpus ?? byDefault.containers.limits.cpus,
        memoryBytes: containers?.limits?.memory ?? byDefault.containers.limits.memoryBytes,
        pids: containers?.limits?.pids ?? byDefault.containers.limits.pids,
      },
    },
    secretsDir: secrets?.dir ?? byDefault.secretsDir,
    logBytesMax: logs?.limit ?? byDefault.logBytesMax,
  };
}

type Defined<Values> = { [Key in keyof Values]?: Exclude<Values[Key], undefined> };

function defined<Values extends object>(values: Values | undefined): Defined<Values> {
  const said = Object.entries(values ?? {}).filter(([, value]) => value !== undefined);
  return Object.fromEntries(said) as Defined<Values>;
}

function inRange(bytes: number | null, min: string, max: string): boolean {
  return bytes !== null && bytes >= (parseBytes(min) ?? 0) && bytes <= (parseBytes(max) ?? 0);
}
