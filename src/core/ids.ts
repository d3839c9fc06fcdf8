import { v7, validate } from 'uuid';

/** A new UUIDv7. Ids made by one OS process sort in the order in which they were made. */
export function newId(): string {
  return v7();
}

/** Whether `text` is a UUID that Postgres would accept. */
export function isId(text: string): boolean {
  return validate(text);
}
