/**
 * The HTTP API as a Hono app: parse → call → view. What it promises of every request:
 *
 * - every error is a problem document with a stable code, also for unknown routes and wrong methods;
 * - every response carries `x-request-id`, and every fault of ours is logged under it;
 * - nothing is read from a caller who may not ask.
 *
 * All of it also where the app is mounted in another, under a prefix.
 */
import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { SkipjackError } from '../core/errors.ts';
import type { Engine } from '../engine/engine.ts';
import { createAnnouncements } from './announcements.ts';
import { createAccess } from './http/access.ts';
import { bodyBytesMaxDefault } from './http/body.ts';
import { createEndpoints } from './http/endpoint.ts';
import { type ApiLogger, silentLogger } from './http/logger.ts';
import { createLongPolls } from './http/long-polls.ts';
import { askedPath, mountedAt, pathWithin } from './http/mount.ts';
import { problemHeaders, problemType, toProblemDocument, toSkipjackError } from './http/problem.ts';
import { requestIdFor } from './http/request-id.ts';
import { createRouteTable } from './http/route-table.ts';
import { addOpenApi } from './openapi.ts';
import type { ApiParts } from './parts.ts';
import { createProcessReader } from './process-reader.ts';
import { addBatchRoute } from './routes/batch.ts';
import { addClaimRoutes } from './routes/claims.ts';
import { addDeadLetterRoutes } from './routes/dead-letters.ts';
import { addDefinitionRoutes } from './routes/definitions.ts';
import { addEventRoutes } from './routes/events.ts';
import { addHealthRoutes } from './routes/health.ts';
import { addHeartbeatRoutes } from './routes/heartbeats.ts';
import { addLogRoutes } from './routes/logs.ts';
import { addMetricsRoute } from './routes/metrics.ts';
import { addOperationRoutes } from './routes/operations.ts';
import { addProcessMoveRoutes } from './routes/process-moves.ts';
import { addProcessRoutes } from './routes/processes.ts';
import { addSettlementRoutes } from './routes/settlements.ts';
import { addTaskRoutes } from './routes/tasks.ts';
import { addTorkRoutes } from './routes/tork.ts';
import { createTaskReader } from './task-reader.ts';
import { version as ownVersion } from './version.ts';

export interface ApiOptions {
  /** With keys, every request but those to the health routes must show one. */
  apiKeys?: string[];
  /** Without keys: names accepted in `Host` beside those of loopback, with or without a port. */
  allowedHosts?: string[];
  /** As the health routes and /openapi.json say it; the package's own by default. */
  version?: string;
  bodyBytesMax?: number;
  logger?: ApiLogger;
  /** Aborted when the server closes: whoever waits for something is answered at once. */
  closing?: AbortSignal;
}

export function createApi(engine: Engine, options: ApiOptions = {}): OpenAPIHono {
  const {
    version = ownVersion,
    bodyBytesMax = bodyBytesMaxDefault,
    logger: log = silentLogger,
    closing = new AbortController().signal,
  } = options;
  const { queue } = engine;
  const checkAccess = createAccess(options);
  const routes = createRouteTable();
  const app = new OpenAPIHono();

  app.use('*', async (c, next) => {
    const began = performance.now();
    const requestId = requestIdFor(c.req.header('x-request-id'));
    c.header('x-request-id', requestId);
    checkAccess(c, { isOpen: routes.isOpen(c.req.method, pathWithin(c)) });
    await next();
    log.debug(
      {
        request_id: requestId,
        method: c.req.method,
        path: c.req.path,
        status: c.res.status,
        ms: Math.round(performance.now() - began),
      },
      'answered',
    );
  });

  const parts: ApiParts = {
    endpoints: createEndpoints(app, { bodyBytesMax, onDeclare: routes.add }),
    engine,
    queue,
    longPolls: createLongPolls(closing),
    announcements: createAnnouncements(queue, log),
    tasks: createTaskReader(queue.db),
    processes: createProcessReader(queue.db),
    log,
    version,
  };
  addTaskRoutes(parts);
  addBatchRoute(parts);
  addTorkRoutes(parts);
  addClaimRoutes(parts);
  addSettlementRoutes(parts);
  addHeartbeatRoutes(parts);
  addDefinitionRoutes(parts);
  addProcessRoutes(parts);
  addProcessMoveRoutes(parts);
  addEventRoutes(parts);
  addLogRoutes(parts);
  addDeadLetterRoutes(parts);
  addOperationRoutes(parts);
  addHealthRoutes(parts);
  addMetricsRoute(parts);
  addOpenApi(app, parts);

  // A route like the others: where the app is mounted in another, that one's own answer would be asked for.
  app.all('*', (c) => answerProblem(c, notFoundOrNotAllowed(c)));
  app.onError((thrown, c) => {
    const error = toSkipjackError(thrown);
    const about = {
      err: error.cause ?? error,
      request_id: c.res.headers.get('x-request-id'),
      path: c.req.path,
    };
    if (error.code === 'internal') log.error(about, 'a fault of ours');
    else if (error.status === 503) log.warn(about, error.message);
    else log.debug(about, error.message);
    return answerProblem(c, error);
  });

  function notFoundOrNotAllowed(c: Context): SkipjackError {
    const allow = routes.methodsOf(pathWithin(c));
    if (allow.length === 0) {
      return new SkipjackError(
        'not_found',
        `There is nothing at ${askedPath(c).slice(0, 200)}. See ${mountedAt(c)}/openapi.json for what there is.`,
      );
    }
    return new SkipjackError(
      'method_not_allowed',
      `${c.req.method} is not allowed here; ${allow.join(', ')} ${allow.length === 1 ? 'is' : 'are'}.`,
      { extra: { allow } },
    );
  }

  return app;
}

function answerProblem(c: Context, error: SkipjackError): Response {
  const requestId = c.res.headers.get('x-request-id') ?? '';
  const document = toProblemDocument(error, { instance: askedPath(c).slice(0, 500), requestId });
  return c.body(JSON.stringify(document), error.status as 400, {
    ...problemHeaders(error),
    'content-type': problemType,
    'x-request-id': requestId,
  });
}
