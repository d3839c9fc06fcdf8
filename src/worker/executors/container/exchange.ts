/**
 * What goes into a container before it starts, and what comes out: copied by the daemon, so that it works where the
 * worker and the daemon share no file system.
 *
 * What comes out was made by the task: only regular files are read, and no more of them than we keep.
 */
import { normalize } from 'node:path/posix';
import type { Json } from '../../../core/json.ts';
import type { ContainerPart } from '../../../core/spec.ts';
import { progressBytesMax } from '../../../core/task-source.ts';
import { type Checked, checkOutputText, outputBytesMax, tooLarge } from '../../storable.ts';
import type { Attempt } from './attempt.ts';
import { scriptPath } from './create-arguments.ts';
import { invalid, runtimeFailure } from './errors.ts';
import { make } from './make.ts';
import { checkOutsideMounts } from './outside-mounts.ts';
import type { ContainerRuntime } from './runtime.ts';
import { takeFile } from './take-file.ts';
import { packTar, type TarEntry } from './tar.ts';

export const exchangeVariables = {
  SKIPJACK_INPUT: '/skipjack/input.json',
  SKIPJACK_OUTPUT: '/skipjack/output.json',
  SKIPJACK_PROGRESS: '/skipjack/progress',
};

/** Of what a task says about how far it is. */

/** Puts a part's input, script and files into its container. */
export async function putFiles(attempt: Attempt, container: string, part: ContainerPart): Promise<void> {
  const { input, process, needs, item } = attempt.task;
  const entries: TarEntry[] = [
    // The part may run as any user.
    { name: 'skipjack/', mode: 0o777 },
    {
      name: inTar(exchangeVariables.SKIPJACK_INPUT),
      mode: 0o644,
      content: JSON.stringify({ input, process, needs, item }),
    },
  ];
  if (part.run !== undefined) entries.push({ name: inTar(scriptPath), mode: 0o644, content: part.run });
  // The runtimes give a fresh volume to root alone.
  if (attempt.containers[0] === container)
    entries.push(...attempt.volumes.map(([, path]) => ({ name: `${inTar(path)}/`, mode: 0o777 })));
  entries.push(...(await fileEntries(attempt, container, part)));
  const end = await make(attempt, ['cp', '-', `${container}:/`], { input: packTar(entries) });
  if (end.kind !== 'exited' || end.exitCode !== 0)
    throw runtimeFailure(attempt.runtime, 'copying files into the container', end);
}

async function fileEntries(attempt: Attempt, container: string, part: ContainerPart): Promise<TarEntry[]> {
  const files = Object.entries(part.files ?? {});
  for (const [name] of files) checkFileName(name);
  const isRelative = files.some(([name]) => !name.startsWith('/'));
  const workdir = isRelative ? (part.workdir ?? (await imageWorkdir(attempt, container))) : '/';
  const named = files.map(([name, content]) => ({
    path: normalize(name.startsWith('/') ? name : `/${workdir}/${name}`),
    content,
  }));
  const paths = named.map(({ path }) => path);
  await checkOutsideMounts(attempt, container, paths);
  return named.map(({ path, content }) => ({
    name: inTar(path),
    // A script may be called by its name.
    mode: content.startsWith('#!') ? 0o755 : 0o644,
    content,
  }));
}

export function checkFileName(name: string): void {
  const shown = JSON.stringify(name);
  if (name.split('/').includes('..')) throw invalid(`files: ${shown} leads out of its folder`);
  if (name.endsWith('/') || name.includes('\0') || name.length > 1_000 || normalize(name) === '.')
    throw invalid(`files: ${shown} is not the name of a file`);
  const path = normalize(name);
  if (path === '/skipjack' || path.startsWith('/skipjack/'))
    throw invalid(`files: ${shown} lies in a folder of ours`);
}

async function imageWorkdir({ runtime }: Attempt, container: string): Promise<string> {
  const end = await runtime.run(['container', 'inspect', '--format={{.Config.WorkingDir}}', container]);
  if (end.kind !== 'exited' || end.exitCode !== 0)
    throw runtimeFailure(runtime, 'looking at the container', end);
  return end.stdout.trim() || '/';
}

function inTar(path: string): string {
  return normalize(path).replace(/^\/+/, '').replace(/\/+$/, '');
}

/** What the part wrote to its output file; undefined when it wrote nothing. */
export async function takeOutput(runtime: ContainerRuntime, container: string): Promise<Checked | undefined> {
  const entry = await takeFile(runtime, container, exchangeVariables.SKIPJACK_OUTPUT, outputBytesMax);
  if (entry === null) return undefined;
  if (entry.kind === 'not_a_file' || entry.kind === 'link') return unreadable('it is not a regular file');
  if (entry.kind === 'too_large') return tooLarge(`$SKIPJACK_OUTPUT has ${entry.bytes} bytes`);
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(entry.content);
    return text.trim() === '' ? undefined : checkOutputText(text);
  } catch (error) {
    return unreadable((error as Error).message);
  }
}

function unreadable(why: string): Checked {
  return { ok: false, code: 'output_invalid', message: `cannot read $SKIPJACK_OUTPUT: ${why}` };
}

/** What the part says about how far it is; undefined if that is nothing that can be read. */
export async function takeProgress(runtime: ContainerRuntime, container: string): Promise<Json | undefined> {
  const path = exchangeVariables.SKIPJACK_PROGRESS;
  const entry = await takeFile(runtime, container, path, progressBytesMax).catch(() => null);
  if (entry?.kind !== 'file') return undefined;
  const checked = checkOutputText(entry.content.toString('utf8'));
  return checked.ok ? checked.value : undefined;
}
