/**
 * Where the app is mounted: under its own server at the root, in another app of Hono or of Express wherever that
 * says. Addresses that we hand out begin there, and paths are known without it.
 */
import type { Context } from 'hono';
import { basePath } from 'hono/route';
import { splitUrl } from './address.ts';

/** The prefix of every address of ours, as clients see it: `/engine`, or nothing at the root. */
export function mountedAt(c: Context): string {
  return outerMount(c) + innerMount(c);
}

/** The path that was asked for, as clients see it. */
export function askedPath(c: Context): string {
  return outerMount(c) + splitUrl(c.req.url).path;
}

/** The path within this app. */
export function pathWithin(c: Context): string {
  return c.req.path.slice(innerMount(c).length) || '/';
}

/** Hono leaves the prefix in the path. */
function innerMount(c: Context): string {
  return basePath(c).replace(/\/$/, '');
}

/** Express takes it off, and says so. */
function outerMount(c: Context): string {
  const bindings = c.env as { incoming?: { baseUrl?: unknown } } | undefined;
  const baseUrl = bindings?.incoming?.baseUrl;
  return typeof baseUrl === 'string' ? baseUrl.replace(/\/$/, '') : '';
}
