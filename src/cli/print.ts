/** Data on stdout: text for people, JSON for programs. */

export type Format = 'text' | 'json';

/** `text` is made only when it is wanted. Resolves when it was handed to the system. */
export async function print(value: unknown, format: Format, text: () => string): Promise<void> {
  const output = format === 'json' ? JSON.stringify(value, null, 2) : text();
  if (output === '') return;
  await new Promise<void>((resolve) => process.stdout.write(`${output}\n`, () => resolve()));
}

/** A word beside the data, for people: on stderr. */
export function remark(text: string): void {
  process.stderr.write(`${text}\n`);
}
