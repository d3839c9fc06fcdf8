/**
 * The HTTP API as functions: typed, over `fetch` alone, one call each. Nothing is repeated here; what failed is
 * thrown as a SkipjackError with the server's code, problems and further members.
 */
import { createCalls } from './calls.ts';
import { type ClaimClient, createClaimClient } from './claims.ts';
import { createDeadLetterClient, type DeadLetterClient } from './dead-letters.ts';
import { createDefinitionClient, type DefinitionClient } from './definitions.ts';
import { createEventClient, type EventClient } from './events.ts';
import { createLogClient, type LogClient } from './logs.ts';
import { createOperationClient, type OperationClient } from './operations.ts';
import { createProcessClient, type ProcessClient } from './processes.ts';
import type { Connection } from './request.ts';
import { createTaskClient, type TaskClient } from './tasks.ts';

export type { CallOptions } from './calls.ts';
export type { ClaimOptions, Held } from './claims.ts';
export type { DefinitionInput } from './definitions.ts';
export type { EventInput } from './events.ts';
export type { FollowOptions, LogFilter, SaidLine } from './logs.ts';
export type { MoveOptions, ProcessStart } from './processes.ts';

export interface Client
  extends TaskClient,
    ClaimClient,
    LogClient,
    DefinitionClient,
    ProcessClient,
    EventClient,
    DeadLetterClient,
    OperationClient {}

/** Speaks to one server. @throws SkipjackError `usage` for a URL that is none. */
export function createClient(connection: Connection): Client {
  const calls = createCalls(connection);
  return {
    ...createTaskClient(calls),
    ...createClaimClient(calls),
    ...createLogClient(calls, connection),
    ...createDefinitionClient(calls),
    ...createProcessClient(calls),
    ...createEventClient(calls),
    ...createDeadLetterClient(calls),
    ...createOperationClient(calls),
  };
}
