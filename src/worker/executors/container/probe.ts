/** Whether a sidecar is ready. */
import { request } from 'node:http';
import type { Probe } from '../../../core/spec.ts';
import type { Attempt } from './attempt.ts';
import type { Container } from './part.ts';

/** One try; the probe's own `timeout` is for all of them. */
const tryTimeoutMs = 5_000;

/** True: ready. Else what it answered, for people to read. */
export async function tryProbe(
  attempt: Attempt,
  container: Container,
  probe: Probe,
  leftMs: number,
): Promise<true | string> {
  const timeoutMs = Math.max(1, Math.min(tryTimeoutMs, leftMs));
  if (probe.cmd !== undefined) return tryCommand(attempt, container, probe.cmd, timeoutMs);
  const { port = 80, path = '/' } = probe;
  const address = await addressOf(attempt, container);
  const status = address === null ? null : await ask(address, port, path, timeoutMs);
  if (typeof status === 'number') return status < 400 || `it answered with HTTP status ${status}`;
  if (status === 'refused') return `nothing listens on port ${port}`;
  // A worker in a container, or with its daemon elsewhere, does not reach the network: asked from inside then.
  const url = `http://127.0.0.1:${port}${path.startsWith('/') ? path : `/${path}`}`;
  const script =
    'if command -v wget >/dev/null; then wget -q -O /dev/null "$0"; else curl -fsS -o /dev/null "$0"; fi';
  return tryCommand(attempt, container, ['/bin/sh', '-c', script, url], timeoutMs);
}

async function tryCommand(
  { runtime, context }: Attempt,
  { name }: Container,
  cmd: string[],
  timeoutMs: number,
): Promise<true | string> {
  const end = await runtime.run(['exec', name, ...cmd], { timeoutMs, signal: context.signal });
  if (end.kind === 'exited') return end.exitCode === 0 || `its probe exited with code ${end.exitCode}`;
  return 'its probe did not end in time';
}

async function addressOf(
  { runtime, network, context }: Attempt,
  { name }: Container,
): Promise<string | null> {
  const args = ['container', 'inspect', '--format={{json .NetworkSettings.Networks}}', name];
  const end = await runtime.run(args, { signal: context.signal });
  if (end.kind !== 'exited' || end.exitCode !== 0) return null;
  const networks = JSON.parse(end.stdout) as Record<string, { IPAddress?: string }>;
  return networks[network ?? '']?.IPAddress || null;
}

/** The status; null: it cannot be reached from here. */
function ask(
  host: string,
  port: number,
  path: string,
  timeoutMs: number,
): Promise<number | 'refused' | null> {
  return new Promise((resolve) => {
    const asked = request({ host, port, path, agent: false }, (answer) => {
      answer.destroy();
      resolve(answer.statusCode ?? 500);
    });
    const timer = setTimeout(() => {
      // First: to destroy it is told as a reset.
      resolve(null);
      asked.destroy();
    }, timeoutMs / 2);
    asked.on('close', () => {
      clearTimeout(timer);
      resolve(null);
    });
    asked.on('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code === 'ECONNREFUSED' || error.code === 'ECONNRESET' ? 'refused' : null);
    });
    asked.end();
  });
}
