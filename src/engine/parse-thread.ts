/** The thread in which large definitions are checked: one text after the other, each answered with what it is. */
import { parentPort } from 'node:worker_threads';
import { type ParsedDefinition, parseDefinition } from '../definition/parse-definition.ts';

export type ParseAnswer = { parsed: ParsedDefinition } | { thrown: unknown };

parentPort?.on('message', (source: string) => parentPort?.postMessage(answer(source)));

function answer(source: string): ParseAnswer {
  try {
    return { parsed: parseDefinition(source) };
  } catch (thrown) {
    return { thrown };
  }
}
