/**
 * A container task as people write it: the keys that go with `image`.
 *
 * Typed, so that nothing but these words reaches a container runtime: no privileges, namespaces of the machine, devices
 * or raw arguments can be asked for at all. What of it a worker allows is the worker's own affair.
 */
import { z } from 'zod';
import { parseBytes } from './bytes.ts';
import { durationPattern, parseDuration } from './durations.ts';
import { findTextProblem } from './json.ts';
import { findReferenceProblem } from './secret-text.ts';

/** Text that Postgres can store, empty or not. */
export const anyText = (max: number) =>
  z
    .string()
    .max(max)
    .refine((value) => findTextProblem(value) === null, {
      error: (issue) => `has ${findTextProblem(String(issue.input))}`,
    });

/** The same, not empty. */
export const text = (max: number) => anyText(max).min(1);

/** Text in which references to secrets may stand, and no other expression. */
export const secretText = (max: number) =>
  anyText(max).refine((value) => findReferenceProblem(value) === null, {
    error: (issue) => findReferenceProblem(String(issue.input)) ?? '',
    params: { code: 'misplaced_expression' },
  });

/** Text that is taken as it is: a reference in it would not be seen, so it is refused. */
export const plainText = (max: number) =>
  text(max).refine((value) => !value.includes('${{'), {
    error: notPlain,
    params: { code: 'misplaced_expression' },
    abort: true,
  });

const notPlain = 'is no template: "${{ … }}" can stand in "env", "cmd", "args", "entrypoint" and "registry"';

/** `500ms`, `30s`, `10m`, `2h`, `7d`. */
export const durationSchema = z
  .string({
    error: ({ input }) =>
      typeof input === 'number' ? 'must be a duration such as 30s, not a number' : undefined,
  })
  .regex(durationPattern, { error: 'is not a duration: write 500ms, 30s, 10m, 2h or 7d', abort: true })
  .refine((value) => parseDuration(value) !== null, 'is longer than 3650d')
  .meta({ example: '30s' });

export const positiveDurationSchema = durationSchema.refine(
  (value) => parseDuration(value) !== 0,
  'must be longer than 0',
);

/** What the texts of a program may hold: references to secrets, or in a definition any expression. */
export type TextRule = (max: number) => z.ZodString;

export const envSchemaOf = (programText: TextRule) =>
  z
    .record(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is not a name for an environment variable'),
      programText(32_768),
    )
    .refine((env) => Object.keys(env).length <= 200, 'has more than 200 variables');

/** What a container task and a script on the machine both have. */
export const scriptSchema = text(262_144);
/** Data, as an input is. */
export const stdinSchema = anyText(1_048_576);

const memoryBytesMin = 6 * 1024 * 1024;

const sizeSchema = z
  .string()
  .refine((value) => parseBytes(value) !== null, { error: 'is not a size: write 512m or 2g', abort: true });

const pathSchema = plainText(4_096)
  .regex(/^\//, 'is not an absolute path')
  .refine((path) => !/(^|\/)\.\.(\/|$)/.test(path), 'goes up by ".."')
  // The runtimes take apart what mounts something at ":" and ",".
  .refine((path) => !/[:,]/.test(path), 'has ":" or ","')
  .refine((path) => path.replace(/\/+$/, '') !== '', 'is the root');

const imageSchema = plainText(500)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:/@-]*$/, 'is not the name of an image')
  .meta({ example: 'alpine:3.20' });

const argumentsSchemaOf = (programText: TextRule) => z.array(programText(131_072)).max(1_000);

const filesLengthMax = 1_048_576;

const filesSchema = z
  .record(plainText(500), anyText(1_048_576))
  .refine((files) => Object.keys(files).length <= 100, 'has more than 100 files')
  .refine(
    (files) => Object.keys(files).every((name) => !/(^|\/)\.\.?(\/|$)|\/$|^$/.test(name)),
    'has a name that is not the path of a file',
  )
  .refine(
    (files) => Object.values(files).reduce((sum, content) => sum + content.length, 0) <= filesLengthMax,
    `has more than ${filesLengthMax} letters in all`,
  )
  .refine((files) => Object.values(files).every((content) => !content.includes('${{')), {
    error: 'is no template: hand values over in "env" instead of ${{ … }}',
    params: { code: 'template_in_script' },
  })
  .meta({ description: 'Name → content; relative names lie in the working directory' });

const partShapeOf = (programText: TextRule) => ({
  image: imageSchema,
  cmd: argumentsSchemaOf(programText)
    .optional()
    .meta({
      description: "Arguments of the image's entrypoint",
      example: ['echo', '-n', 'hello world'],
    }),
  entrypoint: argumentsSchemaOf(programText)
    .min(1)
    .optional()
    .meta({ description: "In place of the image's" }),
  run: scriptSchema.optional().meta({ description: "A script for the image's /bin/sh, in place of both" }),
  env: envSchemaOf(programText).optional(),
  files: filesSchema.optional(),
  workdir: pathSchema.optional(),
  user: plainText(100)
    .regex(/^\w[\w.-]*(:\w[\w.-]*)?$/, 'is neither a user nor user:group')
    .optional(),
});

type PartShape = ReturnType<typeof partShapeOf>;

const namedPartSchemaOf = (partShape: PartShape) =>
  z
    .strictObject({
      name: plainText(100).optional(),
      ...partShape,
      timeout: positiveDurationSchema.optional(),
    })
    .superRefine(checkProgram);

const probeSchema = z
  .strictObject({
    cmd: z.array(plainText(4_096)).min(1).max(100).optional(),
    port: z.int().min(1).max(65_535).optional(),
    path: plainText(1_000)
      .regex(/^\/[\x21-\x7e]*$/, 'is not the path of a URL')
      .optional(),
    interval: positiveDurationSchema.optional(),
    timeout: positiveDurationSchema.optional(),
  })
  .refine((probe) => (probe.cmd === undefined) !== (probe.port === undefined), 'has one of "cmd" and "port"')
  .refine((probe) => probe.path === undefined || probe.port !== undefined, '"path" goes with "port"')
  .meta({ description: 'Ready when `cmd` in it exits with 0, or `path` at `port` answers below 400' });

const sidecarSchemaOf = (partShape: PartShape) =>
  z
    .strictObject({
      name: z
        .string()
        .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'is not a host name: small letters, digits and "-"'),
      ...partShape,
      probe: probeSchema.optional(),
    })
    .superRefine(checkProgram);

const mountSchema = z.discriminatedUnion(
  'type',
  [
    z.strictObject({
      type: z.literal('bind'),
      source: pathSchema,
      target: pathSchema,
      read_only: z.boolean().optional(),
    }),
    z.strictObject({ type: z.literal('tmpfs'), target: pathSchema, size: sizeSchema.optional() }),
  ],
  { error: 'is a map with a "type" of "bind" or "tmpfs"' },
);

const limitsSchema = z.strictObject({
  cpus: z.number().min(0.01).max(1_024).optional(),
  memory: sizeSchema
    .refine((value) => (parseBytes(value) ?? 0) >= memoryBytesMin, 'is less than 6m')
    .optional()
    .meta({ example: '512m' }),
  pids: z.int().min(1).max(1_000_000).optional(),
});

const uniqueNames = (sidecars: { name: string }[]) =>
  new Set(sidecars.map(({ name }) => name)).size === sidecars.length;

/** The keys beside `image`, but `run`, `env` and `stdin`, which scripts on the machine have too. */
export function containerShapeOf(programText: TextRule) {
  const partShape = partShapeOf(programText);
  return {
    image: imageSchema.optional().meta({ description: 'An image: the task runs in a container' }),
    cmd: partShape.cmd,
    entrypoint: partShape.entrypoint,
    files: partShape.files,
    workdir: partShape.workdir,
    user: partShape.user,
    volumes: z
      .array(pathSchema)
      .max(20)
      .refine((paths) => new Set(paths).size === paths.length, 'has a path twice')
      .optional()
      .meta({ description: 'Paths, empty at first, that pre, main and post share', example: ['/tmp'] }),
    mounts: z.array(mountSchema).max(20).optional(),
    networks: z
      .array(
        plainText(100)
          .regex(/^[A-Za-z0-9][\w.-]*$/, 'is not the name of a network')
          .refine((name) => name !== 'host', 'is the network of the machine, which no task may use'),
      )
      .max(10)
      .optional(),
    limits: limitsSchema.optional(),
    gpus: z
      .union([z.int(), z.string()])
      .refine((value) => /^(all|device=[\w,-]{1,200}|[1-9]\d?)$/.test(String(value)), {
        error: 'is neither "all", a count from 1 to 99, nor "device=…"',
      })
      .optional(),
    registry: z
      .strictObject({ username: programText(1_000).min(1), password: programText(4_096).min(1) })
      .optional(),
    pull: z.enum(['missing', 'always', 'never']).optional(),
    pre: z.array(namedPartSchemaOf(partShape)).max(20).optional(),
    post: z.array(namedPartSchemaOf(partShape)).max(20).optional(),
    sidecars: z.array(sidecarSchemaOf(partShape)).max(10).refine(uniqueNames, 'has a name twice').optional(),
  };
}

/** Keys that say nothing without an image. */
export const containerKeys = Object.keys(containerShapeOf(secretText));

/** A script takes the place of what the image or the task would run. */
export function checkProgram(
  part: { run?: string | undefined; cmd?: unknown; entrypoint?: unknown },
  context: z.RefinementCtx,
): void {
  if (part.run === undefined) return;
  if (part.run.includes('${{')) {
    const message =
      'a script is never a template: hand values over in "env", or read $SKIPJACK_INPUT, instead of ${{ … }}';
    context.addIssue({ code: 'custom', path: ['run'], message, params: { code: 'template_in_script' } });
  }
  for (const key of ['cmd', 'entrypoint'] as const) {
    if (part[key] !== undefined)
      context.addIssue({ code: 'custom', path: [key], message: 'cannot go with "run"' });
  }
}
