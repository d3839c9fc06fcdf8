/** What becomes of bytes on their way to lines, and of lines past the limit. */
import { beforeEach, describe, expect, test } from 'vitest';
import { LimitedLog } from '../../src/worker/logs/limited-log.ts';
import { decodeLine, LineSplitter, lineBytesMax } from '../../src/worker/logs/lines.ts';
import type { SaidLine } from '../../src/worker/logs/said-line.ts';
import fc from '../support/fast-check.ts';

/** The lines of `bytes` that come in pieces ending at `cuts`. */
function linesOf(bytes: Buffer, cuts: number[] = []): string[] {
  const lines: string[] = [];
  const splitter = new LineSplitter((line, from, to) => lines.push(...decodeLine(line, from, to)));
  const ends = [...new Set(cuts.map((cut) => Math.min(cut, bytes.length)))].sort((a, b) => a - b);
  let start = 0;
  for (const end of [...ends, bytes.length]) {
    // The same buffer again and again, as streams may use it: what is kept must be copied.
    const chunk = Buffer.from(bytes.subarray(start, end));
    splitter.write(chunk);
    chunk.fill('?');
    start = end;
  }
  splitter.end();
  return lines;
}

describe('lines', () => {
  test('are the same wherever the bytes are cut, and no character is broken', () => {
    const text = fc.string({
      unit: fc.constantFrom('a', 'é', '漢', '🐟', '\n', '\r\n', ' '),
      maxLength: 200,
    });
    fc.assert(
      fc.property(text, fc.array(fc.nat(600)), (said, cuts) => {
        const expected = said.split(/\r?\n/);
        // A final newline ends the last line and begins no other.
        if (expected.at(-1) === '') expected.pop();
        expect(linesOf(Buffer.from(said), cuts)).toEqual(expected);
      }),
      { numRuns: 1_000 },
    );
  });

  test('longer than 16 KiB become several, cut between characters', () => {
    const sizes = fc.integer({ min: lineBytesMax / 4 - 3, max: lineBytesMax });
    fc.assert(
      fc.property(
        sizes,
        fc.constantFrom('a', 'é', '漢', '🐟'),
        fc.array(fc.nat(50_000)),
        (count, unit, cuts) => {
          const said = `x${unit.repeat(count)}`;
          const lines = linesOf(Buffer.from(`${said}\nnext\n`), cuts);
          expect(lines.at(-1)).toBe('next');
          const pieces = lines.slice(0, -1);
          expect(pieces.join('')).toBe(said);
          for (const piece of pieces) expect(Buffer.byteLength(piece)).toBeLessThanOrEqual(lineBytesMax);
          for (const piece of pieces.slice(0, -1))
            expect(Buffer.byteLength(piece)).toBeGreaterThan(lineBytesMax - 4);
        },
      ),
      { numRuns: 200 },
    );
  });

  test.each(['', '\r'])('of exactly 16 KiB stay one, with %j before the newline', (end) => {
    const line = 'x'.repeat(lineBytesMax);
    const bytes = Buffer.from(`${line}${end}\n${line}${end}\n`);
    expect(linesOf(bytes)).toEqual([line, line]);
    expect(linesOf(bytes, [1, lineBytesMax, lineBytesMax + 1, lineBytesMax + 2])).toEqual([line, line]);
  });

  test('that end with \\r\\n lose both, and keep other carriage returns', () => {
    expect(linesOf(Buffer.from('10 %\r20 %\r\n\r\n\r\r\nend\r'))).toEqual(['10 %\r20 %', '', '\r', 'end\r']);
  });

  test('of bytes that are no text can be stored, and are no longer than others', () => {
    expect(linesOf(Buffer.from([0x61, 0xff, 0x00, 0x62, 0x0a, 0xed, 0xa0, 0x80]))).toEqual([
      'a\ufffd\ufffdb',
      '\ufffd\ufffd\ufffd',
    ]);
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 10_000, maxLength: 70_000 }),
        fc.array(fc.nat(70_000)),
        (array, cuts) => {
          for (const line of linesOf(Buffer.from(array), cuts)) {
            expect(Buffer.byteLength(line)).toBeLessThanOrEqual(lineBytesMax);
            expect(line.isWellFormed() && !line.includes('\0') && !line.includes('\n')).toBe(true);
          }
        },
      ),
      { numRuns: 50 },
    );
    for (const byte of [0x80, 0xff, 0x00])
      expect(linesOf(Buffer.alloc(40_000, byte)).join('')).toBe('\ufffd'.repeat(40_000));
  });
});

describe('the log of an attempt', () => {
  let lines: SaidLine[];
  let log: LimitedLog;

  const open = (bytesMax: number) => {
    lines = [];
    log = new LimitedLog({ bytesMax, onLine: (line) => lines.push(line) });
  };
  const texts = () => lines.map(({ text }) => text);

  beforeEach(() => open(4 * 1024 * 1024));

  test('keeps lines in the order in which they end, with their stream and part', () => {
    const out = log.open('stdout');
    const err = log.open('stderr', 'pre download');
    out.write(Buffer.from('a\nhalf '));
    err.write(Buffer.from('b\nno newline'));
    log.say('c\nd\n', { stream: 'stdout', part: 'post 1' });
    out.write(Buffer.from('a line\n'));
    log.say('e');
    log.close();
    expect(lines.map(({ stream, part, text }) => [stream, part, text])).toEqual([
      ['stdout', null, 'a'],
      ['stderr', 'pre download', 'b'],
      ['stdout', 'post 1', 'c'],
      ['stdout', 'post 1', 'd'],
      ['stdout', null, 'half a line'],
      ['skipjack', null, 'e'],
      ['stderr', 'pre download', 'no newline'],
    ]);
  });

  test('hears nothing after its end', () => {
    const out = log.open('stdout');
    out.write(Buffer.from('last'));
    out.end();
    out.write(Buffer.from('late\n'));
    out.end();
    log.close();
    log.say('late');
    log.open('stdout').write(Buffer.from('late\n'));
    log.close();
    expect(texts()).toEqual(['last']);
  });

  test('below the limit misses nothing', () => {
    open(100_000);
    const said = Array.from({ length: 999 }, (_, index) => `${index}`.padEnd(99, '.'));
    log.open('stdout').write(Buffer.from(`${said.join('\n')}\n`));
    log.close();
    expect(texts()).toEqual(said);
  });

  test('past the limit keeps its beginning and its end, and says what is missing between them', () => {
    open(40_000);
    const said = Array.from({ length: 5_000 }, (_, index) => `${index}`.padEnd(99, '.'));
    log.open('stdout').write(Buffer.from(`${said.join('\n')}\n`));
    expect(texts()).toEqual(said.slice(0, 300));
    log.say('the end');
    log.close();
    const kept = texts();
    expect(kept).toEqual([
      ...said.slice(0, 300),
      `[… cut: ${4_700 - 99} lines, ${(4_700 - 99) * 99} bytes]`,
      ...said.slice(-99),
      'the end',
    ]);
    expect(lines[300]?.stream).toBe('skipjack');
    expect(lines.map(({ saidMs }) => saidMs)).toEqual(
      lines.map(({ saidMs }) => saidMs).sort((a, b) => a - b),
    );
  });

  test('of empty lines is bounded too', () => {
    open(160_000);
    log.open('stdout').write(Buffer.alloc(1_000_000, '\n'));
    log.close();
    expect(lines.length).toBe(10_001);
  });
});
