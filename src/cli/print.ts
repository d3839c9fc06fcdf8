/** Data on stdout: text for people, JSON for programs. */
import { printable } from './table.ts';

export type Format = 'text' | 'json';

/** `text` is made only when it is wanted. Resolves when it was handed to the system. */
export async function print(value: unknown, format: Format, text: () => string): Promise<void> {
  await printData(format === 'json' ? JSON.stringify(value, null, 2) : printable(text()));
}

/** As it is: for programs. */
export async function printData(output: string): Promise<void> {
  if (output === '') return;
  await new Promise<void>((resolve) => process.stdout.write(`${output}\n`, () => resolve()));
}

/** A word beside the data, for people: on stderr. */
export function remark(text: string): void {
  process.stderr.write(`${printable(text)}\n`);
}
