/**
 * Answers to what never becomes a request: malformed HTTP, headers that are too large or too slow. Node would
 * answer these by itself, without a body.
 */
import { type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { SkipjackError } from '../../core/errors.ts';
import { newId } from '../../core/ids.ts';
import { problemType, toProblemDocument } from './problem.ts';

export function answerClientErrors(server: Server): void {
  const responses = new WeakMap<Duplex, ServerResponse>();
  server.on('request', (request, response) => {
    responses.set(request.socket, response);
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    // Into a response that is half out, nothing sensible can be written.
    if (!socket.writable || error.code === 'ECONNRESET' || isHalfOut(responses.get(socket))) {
      socket.destroy();
      return;
    }
    socket.end(toRawAnswer(explain(error)), () => socket.destroy());
  });
}

function isHalfOut(response?: ServerResponse): boolean {
  return response?.headersSent === true && !response.writableFinished;
}

function explain(error: NodeJS.ErrnoException): SkipjackError {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return new SkipjackError('headers_too_large', 'The headers have more than 16 KiB in all.');
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new SkipjackError('body_too_large', 'The chunk extensions have more than 16 KiB.');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new SkipjackError('request_timeout', 'The request did not arrive in time.');
    default:
      return new SkipjackError('invalid_request', 'This is not HTTP/1.1 as we read it.');
  }
}

function toRawAnswer(error: SkipjackError): string {
  const requestId = newId();
  const body = JSON.stringify(toProblemDocument(error, { requestId }));
  return [
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}`,
    `content-type: ${problemType}`,
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${requestId}`,
    'connection: close',
    '',
    body,
  ].join('\r\n');
}
