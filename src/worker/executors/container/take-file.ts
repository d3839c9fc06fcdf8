import { runtimeFailure, saysUnreachable } from './errors.ts';
import type { ContainerRuntime } from './runtime.ts';
import { type FirstEntry, FirstEntryReader } from './tar.ts';

const copyTimeoutMs = 30_000;

/**
 * So much of a folder, or of a file that is larger than what is wanted, is let pass before the copy is killed. Podman,
 * which has no daemon, lets go of the container at the end: killed then, it leaves one that nothing can be put into.
 * What is in the middle of a large copy is not there yet.
 */
const passedBytesMax = 8 * 1024 * 1024;

/**
 * A file of a container as it is now; null: there is none. Not more of it than `bytesMax`, and of what is no file
 * nothing: the container may have put anything there.
 */
export async function takeFile(
  runtime: ContainerRuntime,
  container: string,
  path: string,
  bytesMax: number,
): Promise<FirstEntry | null> {
  const cli = runtime.start(['cp', `${container}:${path}`, '-']);
  const timer = setTimeout(() => cli.kill(), copyTimeoutMs);
  const reader = new FirstEntryReader(bytesMax);
  let entry: FirstEntry | null = null;
  let stderr = '';
  let passedBytes = 0;
  cli.stdout.on('data', (chunk: Buffer) => {
    if (entry === null) {
      entry = reader.push(chunk);
      return;
    }
    passedBytes += chunk.length;
    if (passedBytes > passedBytesMax) cli.kill();
  });
  cli.stderr.on('data', (chunk: Buffer) => {
    if (stderr.length < 65_536) stderr += chunk.toString('utf8');
  });
  const end = await cli.ended;
  clearTimeout(timer);
  if (entry !== null) return entry;
  if (
    end.kind === 'exited' &&
    !saysUnreachable(stderr) &&
    /could not find the file|no such file|not be found|could not be found/i.test(stderr)
  )
    return null;
  throw runtimeFailure(
    runtime,
    `copying ${path} out of the container`,
    end.kind === 'exited' ? { ...end, stdout: '', stderr } : end,
  );
}
