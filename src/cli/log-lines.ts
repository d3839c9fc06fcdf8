/** Lines of logs for a terminal, a file or a program. */
import type { LogLineView } from '../client/logs.ts';
import { type Paint, paintFor } from './paint.ts';
import { oneLine } from './run/describe.ts';
import { printable } from './table.ts';

export interface LogPrinter {
  /** Resolves when the system has taken them. */
  print(lines: LogLineView[]): Promise<void>;
  end(): Promise<void>;
}

export interface LogPrinterOptions {
  /** `json`: one array; `json_lines`: an object a line, for what has no end yet. */
  format: 'text' | 'json' | 'json_lines';
  /** Of a process: which task spoke. */
  withNames: boolean;
  withTimes: boolean;
}

type Output = Pick<NodeJS.WriteStream, 'write'> & { isTTY?: boolean };

const colours = ['cyan', 'green', 'yellow', 'bold', 'dim'] as const satisfies (keyof Paint)[];

export function createLogPrinter({ format, withNames, withTimes }: LogPrinterOptions): LogPrinter {
  let printed = 0;
  const colourOf = new Map<string, (typeof colours)[number]>();

  function nameFor({ task_id, task }: LogLineView, stream: NodeJS.WriteStream): string {
    const colour = colourOf.get(task_id) ?? colours[colourOf.size % colours.length] ?? 'cyan';
    colourOf.set(task_id, colour);
    return paintFor(stream)[colour](`${oneLine(task ?? task_id)} | `);
  }

  function toText(line: LogLineView, stream: NodeJS.WriteStream): string {
    const parts = [
      withTimes ? `${line.at} ` : '',
      withNames ? nameFor(line, stream) : '',
      line.part === null ? '' : `${oneLine(line.part)} | `,
      line.stream === 'skipjack' ? 'skipjack: ' : '',
      // In a file every byte is as it was said.
      stream.isTTY ? withoutControls(line.text) : line.text,
    ];
    return `${parts.join('')}\n`;
  }

  async function printText(lines: LogLineView[]): Promise<void> {
    const runs: { stream: NodeJS.WriteStream; text: string }[] = [];
    for (const line of lines) {
      const stream = line.stream === 'stdout' ? process.stdout : process.stderr;
      const last = runs.at(-1);
      if (last?.stream === stream) last.text += toText(line, stream);
      else runs.push({ stream, text: toText(line, stream) });
    }
    // One after the other: on a terminal both are seen in the order in which they were said.
    for (const { stream, text } of runs) await write(stream, text);
  }

  return {
    async print(lines) {
      if (lines.length === 0) return;
      if (format === 'text') await printText(lines);
      else if (format === 'json_lines')
        await write(process.stdout, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
      else {
        const texts = lines.map((line) => `  ${JSON.stringify(line)}`);
        await write(process.stdout, (printed === 0 ? '[\n' : ',\n') + texts.join(',\n'));
      }
      printed += lines.length;
    },
    async end() {
      if (format === 'json') await write(process.stdout, printed === 0 ? '[]\n' : '\n]\n');
    },
  };
}

function write(stream: Output, text: string): Promise<void> {
  return new Promise((resolve) => stream.write(text, () => resolve()));
}

/** Colours and movements of the cursor (ECMA-48 control sequences), and titles of windows. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const sequences = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?)/g;

/** Of a line that was written over, what was left to be seen. */
function withoutControls(text: string): string {
  const seen = text.replaceAll(sequences, '').replace(/\r+$/, '');
  return printable(seen.slice(seen.lastIndexOf('\r') + 1));
}
