/**
 * The API inside a server of Node's own kind: `node:http`, or Express, under whatever prefix it is mounted.
 *
 * Other middleware may have read the body by then. What it left in `request.body` is written out again, so that
 * the app reads it as if it came from the connection.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { answerFault } from './http/answer-fault.ts';

export type NodeHandler = (request: IncomingMessage, response: ServerResponse) => void;

/** An app of Hono's. */
interface App {
  fetch(request: Request, bindings: object): Response | Promise<Response>;
}

type Bindings = { incoming: IncomingMessage & { body?: unknown } };

export function toNodeHandler(app: App): NodeHandler {
  const listener = getRequestListener(
    (request, bindings) => app.fetch(withReadBody(request, bindings as Bindings), bindings),
    // Faster with classes of its own in place of the global ones; but this is somebody else's OS process.
    { overrideGlobalObjects: false, errorHandler: (thrown) => answerFault(thrown) },
  );
  return (request, response) => void listener(request, response);
}

/** The request, with the body that others have taken from its stream. */
function withReadBody(request: Request, { incoming }: Bindings): Request {
  const { body } = incoming;
  if (!incoming.readableDidRead || body === undefined || ['GET', 'HEAD'].includes(request.method)) {
    return request;
  }
  const bytes = Buffer.from(
    typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
  );
  const headers = new Headers(request.headers);
  // They spoke of the bytes on the wire.
  for (const name of ['content-encoding', 'transfer-encoding']) headers.delete(name);
  headers.set('content-length', String(bytes.byteLength));
  const readAgain = new Request(request.url, { method: request.method, headers, body: bytes });
  // The very one that is aborted when the connection closes: a signal that follows it may be collected before.
  return Object.defineProperty(readAgain, 'signal', { value: request.signal });
}
