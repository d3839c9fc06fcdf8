import { SkipjackError } from '../../core/errors.ts';
import { newId } from '../../core/ids.ts';
import { type ApiLogger, silentLogger } from './logger.ts';
import { problemHeaders, problemType, toProblemDocument, toSkipjackError } from './problem.ts';

/** What went wrong before the app had the request, such as a URL or a Host header that is none. */
export function answerFault(thrown: unknown, logger: ApiLogger = silentLogger): Response {
  const isRequest = thrown instanceof Error && thrown.name === 'RequestError';
  const error = isRequest
    ? new SkipjackError(
        'invalid_request',
        `The request line or the Host header cannot be read: ${thrown.message}.`,
      )
    : toSkipjackError(thrown);
  const requestId = newId();
  if (error.code === 'internal') logger.error({ err: thrown, request_id: requestId }, 'a fault of ours');
  return new Response(JSON.stringify(toProblemDocument(error, { requestId })), {
    status: error.status,
    headers: {
      ...problemHeaders(error),
      'content-type': problemType,
      'x-request-id': requestId,
      connection: 'close',
    },
  });
}
