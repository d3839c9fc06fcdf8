/**
 * Who may ask.
 *
 * With API keys: whoever shows one. Without, the server listens on loopback, where any program of this machine
 * may ask, but no web page: a page can reach 127.0.0.1 under a name of its own (DNS rebinding), which the `Host`
 * header betrays, or post to it blindly, which `Origin` betrays.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Context } from 'hono';
import { SkipjackError } from '../../core/errors.ts';

const loopbackName = /^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])$/;
const safeMethods = ['GET', 'HEAD', 'OPTIONS'];

/** Whether `host`, as one listens on it, is reached from this machine alone. */
export function isLoopback(host: string): boolean {
  return host === '::1' || loopbackName.test(host.toLowerCase());
}

/** Throws unless this request may go on. `isOpen`: it needs no key. */
export type CheckAccess = (c: Context, options: { isOpen: boolean }) => void;

export function createAccess({
  apiKeys = [],
  allowedHosts = [],
}: {
  apiKeys?: string[];
  allowedHosts?: string[];
}): CheckAccess {
  if (apiKeys.some((key) => key.trim() === '')) throw new SkipjackError('usage', 'An API key is empty.');
  const hashes = apiKeys.map(hash);
  const hosts = new Set(allowedHosts.map((host) => host.toLowerCase()));

  return (c, { isOpen }) => {
    if (hashes.length > 0) {
      if (!isOpen) checkKey(c, hashes);
      return;
    }
    const host = (c.req.header('host') ?? new URL(c.req.url).host).toLowerCase();
    const name = host.replace(/:\d*$/, '');
    if (!loopbackName.test(name) && !hosts.has(name) && !hosts.has(host)) {
      throw new SkipjackError(
        'host_not_allowed',
        `The Host header says "${host.slice(0, 200)}". Use 127.0.0.1 or localhost, add the name to the allowed hosts, or set API keys.`,
      );
    }
    const origin = c.req.header('origin');
    if (origin !== undefined && !safeMethods.includes(c.req.method) && originHost(origin) !== host) {
      throw new SkipjackError(
        'origin_not_allowed',
        `The Origin header says "${origin.slice(0, 200)}". A web page of another origin may not change anything here.`,
      );
    }
  };
}

function checkKey(c: Context, hashes: Buffer[]): void {
  const [, key] = /^bearer +(.+)$/i.exec(c.req.header('authorization') ?? '') ?? [];
  const shown = hash(key?.trim() ?? '');
  // Over hashes of one length and over all of them: how long it takes says nothing of any key.
  const isKnown = hashes.reduce((found, known) => timingSafeEqual(known, shown) || found, false);
  if (key !== undefined && isKnown) return;
  throw new SkipjackError(
    'unauthorized',
    key === undefined
      ? 'Send an API key of this server: "authorization: Bearer KEY".'
      : "This API key is not one of this server's.",
  );
}

function hash(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

function originHost(origin: string): string | null {
  return URL.canParse(origin) ? new URL(origin).host : null;
}
