import { newId } from '../../core/ids.ts';

/** A caller's id is taken over if it can stand in a header and a log line. */
const saneId = /^[\w.:/+=-]{1,128}$/;

export function requestIdFor(given: string | undefined): string {
  return given !== undefined && saneId.test(given) ? given : newId();
}
