/** Images, before anything runs: what is missing is pulled, with the task's own login if it has one. */
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { partsOf, registryHost } from './allowed.ts';
import { type Attempt, privateFolder } from './attempt.ts';
import { ContainerFailure, pullFailure, throwIfStopped } from './errors.ts';

/** A pull that takes longer has stalled. */
const pullTimeoutMs = 60 * 60_000;

/**
 * Pulls what must be there before the first part runs. A task of one container is left out where it can be: that its
 * image is missing shows when it is made, and looking first would cost every attempt a call.
 */
export async function pullImages(attempt: Attempt): Promise<void> {
  const { spec, runtime } = attempt;
  const images = [...new Set(partsOf(spec).map(({ image }) => image))];
  for (const image of images) {
    throwIfStopped(attempt.context.signal);
    if (spec.pull === 'always') {
      await pullImage(attempt, image);
    } else if (images.length > 1) {
      const { signal } = attempt.context;
      const end = await runtime.run(['image', 'inspect', '--format={{.Id}}', image], { signal });
      if (end.kind === 'exited' && end.exitCode !== 0 && isMissing(end.stderr))
        await getMissing(attempt, image);
    }
  }
}

/** Whether a command failed because the image is not there. */
export function isMissing(stderr: string): boolean {
  return /no such image|image not known|unable to find image|does not resolve to an image/i.test(stderr);
}

/** Pulls an image that is not there, unless the task says not to. */
export async function getMissing(attempt: Attempt, image: string): Promise<void> {
  if (attempt.spec.pull === 'never') {
    throw new ContainerFailure(
      'image_not_present',
      `the image ${image} is not on this worker's machine, and the task says "pull: never"; pull it there, or let the task pull`,
    );
  }
  await pullImage(attempt, image);
}

async function pullImage(attempt: Attempt, image: string): Promise<void> {
  const { runtime, context } = attempt;
  const login = await loginArguments(attempt, image);
  context.log.say(`pulling image ${image}`, { stream: 'skipjack' });
  const startedMs = performance.now();
  const end = await runtime.run([...login.before, 'pull', '--quiet', ...login.after, image], {
    timeoutMs: pullTimeoutMs,
    signal: context.signal,
  });
  throwIfStopped(context.signal);
  if (end.kind !== 'exited' || end.exitCode !== 0) throw pullFailure(runtime, image, end);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  context.log.say(`pulled image ${image} in ${seconds} s`, { stream: 'skipjack' });
}

interface LoginArguments {
  before: string[];
  after: string[];
}

/**
 * Where the command line finds the login: in a file, for its arguments are everybody's to see. The login is for the
 * registry of the task's own image; another part's may come from somebody else's.
 */
async function loginArguments(attempt: Attempt, image: string): Promise<LoginArguments> {
  const { spec, runtime } = attempt;
  const host = registryHost(image);
  if (spec.registry === undefined || host !== registryHost(spec.image)) return { before: [], after: [] };
  const { username, password } = spec.registry;
  const auth = Buffer.from(`${username}:${password}`).toString('base64');
  const key = host === 'docker.io' ? 'https://index.docker.io/v1/' : host;
  const folder = join(await privateFolder(attempt), 'login');
  await mkdir(folder, { mode: 0o700, recursive: true });
  const file = join(folder, 'config.json');
  const auths = { [runtime.kind === 'docker' ? key : host]: { auth } };
  if (runtime.kind === 'podman') {
    await writeFile(file, JSON.stringify({ auths }), { mode: 0o600 });
    return { before: [], after: [`--authfile=${file}`] };
  }
  // The folder stands in for the user's own, which also says which daemon is meant.
  const own = process.env.DOCKER_CONFIG ?? join(homedir(), '.docker');
  await writeFile(file, JSON.stringify({ auths, ...(await currentContext(own)) }), { mode: 0o600 });
  await symlink(join(own, 'contexts'), join(folder, 'contexts')).catch(() => {});
  return { before: [`--config=${folder}`], after: [] };
}

async function currentContext(folder: string): Promise<{ currentContext?: string }> {
  try {
    const { currentContext } = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'));
    return typeof currentContext === 'string' ? { currentContext } : {};
  } catch {
    return {};
  }
}
