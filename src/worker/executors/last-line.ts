import { stripVTControlCharacters } from 'node:util';

const lengthMax = 300;

/** The last line of what a program said, as a message can carry it. */
export function lastLine(text: string): string {
  const line =
    stripVTControlCharacters(text)
      .trimEnd()
      .split(/[\n\r]/)
      .at(-1)
      ?.trim() ?? '';
  return line.length > lengthMax ? `${line.slice(0, lengthMax).toWellFormed()}…` : line;
}
