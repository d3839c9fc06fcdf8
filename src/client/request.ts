/**
 * One HTTP call to a server of ours, by the platform's own `fetch`.
 *
 * Whatever goes wrong becomes a SkipjackError: a problem document keeps its code, problems and further members;
 * no answer at all is `server_unreachable`.
 */
import { type ErrorCode, errorCatalogue, type Problem, SkipjackError } from '../core/errors.ts';

export interface Connection {
  /** Where the server is: `http://127.0.0.1:3000`. */
  url: string;
  /** One of the server's API keys, where it has any. */
  apiKey?: string | null | undefined;
}

export interface Call {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Sent as JSON. */
  body?: unknown;
  /** Sent as it is, in place of `body`. */
  text?: { type: string; content: string } | undefined;
  headers?: Record<string, string> | undefined;
  query?: Record<string, string | number | boolean | undefined>;
  signal?: AbortSignal | undefined;
}

export interface Answer<Body> {
  status: number;
  body: Body;
}

export type Request = <Body>(path: string, call?: Call) => Promise<Answer<Body>>;

export function createRequest({ url, apiKey }: Connection): Request {
  const base = baseOf(url);
  const headersOfAll: Record<string, string> = { accept: 'application/json' };
  if (apiKey) headersOfAll.authorization = `Bearer ${apiKey}`;
  return async <Body>(path: string, { method = 'GET', query = {}, signal, ...call }: Call = {}) => {
    const sent = call.text ?? (call.body === undefined ? undefined : asJson(call.body));
    const target = new URL(base + path);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) target.searchParams.set(name, String(value));
    }
    try {
      const response = await fetch(target, {
        method,
        headers: { ...headersOfAll, ...call.headers, ...(sent ? { 'content-type': sent.type } : {}) },
        // A redirect would carry the key to wherever it points.
        redirect: 'error',
        ...(sent ? { body: sent.content } : {}),
        ...(signal ? { signal } : {}),
      });
      const text = await response.text();
      const read = readJson(text);
      if (response.ok && read !== undefined) return { status: response.status, body: read as Body };
      if (response.ok && text === '') return { status: response.status, body: null as Body };
      throw toError(response, read, base);
    } catch (error) {
      if (error instanceof SkipjackError || signal?.aborted) throw error;
      throw unreachable(base, error);
    }
  };
}

function asJson(body: unknown): NonNullable<Call['text']> {
  return { type: 'application/json', content: JSON.stringify(body) };
}

function baseOf(url: string): string {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new SkipjackError(
      'usage',
      `"${url}" is not the URL of a server. For example: http://127.0.0.1:3000`,
    );
  }
  return url.replace(/\/+$/, '');
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function toError(response: Response, body: unknown, base: string): SkipjackError {
  const document = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
  const {
    type: _type,
    title,
    status: _status,
    instance: _instance,
    code,
    detail,
    problems,
    ...extra
  } = document;
  if (typeof code === 'string' && code in errorCatalogue) {
    const retryAfter = response.headers.get('retry-after');
    return new SkipjackError(code as ErrorCode, String(detail ?? title ?? code), {
      problems: Array.isArray(problems) ? (problems as Problem[]) : [],
      extra: retryAfter === null ? extra : { ...extra, retry_after_s: Number(retryAfter) || 1 },
    });
  }
  // A proxy's page, a server of another kind, or one newer than we are.
  if ([408, 429, 502, 503, 504].includes(response.status)) {
    return unreachable(base, new Error(`it answered ${response.status} ${response.statusText}`));
  }
  const said = typeof detail === 'string' ? detail : `${response.status} ${response.statusText}`;
  return new SkipjackError(
    codeOfStatus(response.status),
    `${base} answered: ${said}. ${typeof code === 'string' ? `Its code is "${code}"; a newer skipjack may know it.` : 'Is it a skipjack server?'}`,
    { extra },
  );
}

function codeOfStatus(status: number): ErrorCode {
  if (status === 401 || status === 403) return 'unauthorized';
  if (status === 404) return 'not_found';
  return status >= 400 && status < 500 ? 'invalid_request' : 'internal';
}

function unreachable(base: string, cause: unknown): SkipjackError {
  return new SkipjackError(
    'server_unreachable',
    `No server answers at ${base} (${reasonOf(cause)}). Start one with "skipjack dev", or name yours with --server or SKIPJACK_URL.`,
    { cause },
  );
}

/** fetch says "fetch failed" and keeps the reason in its cause. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const first = cause instanceof AggregateError ? cause.errors[0] : cause;
  const { code, message } = first as { code?: string; message?: string };
  return code === 'ECONNREFUSED' ? 'the connection was refused' : message || code || String(error);
}
