/** Aligned columns for people; programs read `-o json`. */

export interface Column<Row> {
  title: string;
  value: (row: Row) => string | number | boolean | null | undefined;
}

const cellLengthMax = 60;

export function formatTable<Row>(rows: Row[], columns: Column<Row>[]): string {
  const lines = [
    columns.map((column) => column.title),
    ...rows.map((row) => columns.map((column) => toCell(column.value(row)))),
  ];
  const widths = columns.map((_column, index) => Math.max(...lines.map((line) => line[index]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** One name and value a line; what is null is left out. */
export function formatFields(fields: [name: string, value: unknown][]): string {
  const known = fields.filter(([, value]) => value !== null && value !== undefined);
  const width = Math.max(0, ...known.map(([name]) => name.length));
  const indent = ' '.repeat(width + 2);
  return known
    .map(([name, value]) => {
      const text = typeof value === 'string' ? printable(value) : JSON.stringify(value);
      return `${name.padEnd(width)}  ${text.replaceAll('\n', `\n${indent}`)}`;
    })
    .join('\n');
}

function toCell(value: string | number | boolean | null | undefined): string {
  const text = printable(String(value ?? '-')).replaceAll('\n', ' ');
  return text.length > cellLengthMax ? `${text.slice(0, cellLengthMax - 1)}…` : text;
}

/** Without the control characters by which a task's output could rule the reader's terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  return text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd');
}

/** A time to the second, as JSON has it. */
export function shortTime(time: string | null): string {
  return time === null ? '-' : time.replace(/\.\d+Z$/, 'Z');
}
