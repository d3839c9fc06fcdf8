import { describe, expect, test } from 'vitest';
import { formsOf } from '../../src/worker/secrets/forms.ts';
import { createMask, type Mask, noMask } from '../../src/worker/secrets/mask.ts';
import fc from '../support/fast-check.ts';

/** What a stream makes of `bytes` when they come in pieces that end at `cuts`. */
function streamed(mask: Mask, bytes: Buffer, cuts: number[]): Buffer {
  const stream = mask.stream();
  const ends = [...new Set(cuts.map((cut) => Math.min(cut, bytes.length)))].sort((a, b) => a - b);
  let start = 0;
  const pieces: Buffer[] = [];
  for (const end of [...ends, bytes.length]) {
    pieces.push(Buffer.from(stream.push(bytes.subarray(start, end))));
    start = end;
  }
  return Buffer.concat([...pieces, stream.end()]);
}

/** Every place of every form is looked for on its own, and all that is covered becomes stars. */
function slowly(values: string[], text: Buffer): Buffer {
  const covered = new Array<boolean>(text.length).fill(false);
  for (const form of values.flatMap((value) => [...formsOf(value)])) {
    const needle = Buffer.from(form);
    for (let at = text.indexOf(needle); at !== -1; at = text.indexOf(needle, at + 1))
      covered.fill(true, at, at + needle.length);
  }
  const shown: number[] = [];
  for (const [index, byte] of text.entries()) {
    if (!covered[index]) shown.push(byte);
    else if (!covered[index - 1]) shown.push(...Buffer.from('***'));
  }
  return Buffer.from(shown);
}

/** Few letters, so that values begin and end alike, overlap and hold one another. */
const tightText = fc.string({ unit: fc.constantFrom('a', 'b', '\n', 'é'), minLength: 1, maxLength: 12 });
const anyText = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 20 })
  .filter((text) => !/[*\0]/.test(text));
const cuts = fc.array(fc.nat(400), { maxLength: 40 });

/** Random text with some of the values, or pieces of them, in it. */
function mixed(values: string[], between: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const forms = values.flatMap((value) => [...formsOf(value)]);
  const form = fc.constantFrom(...forms);
  const piece = fc.tuple(form, fc.nat(20), fc.nat(20)).map(([text, from, to]) => text.slice(from, to));
  return fc.array(fc.oneof(between, form, piece), { maxLength: 12 }).map((parts) => parts.join(''));
}

describe.each([
  ['values that overlap', tightText],
  ['any values', anyText],
])('%s', (_, value) => {
  const cases = fc
    .array(value, { minLength: 1, maxLength: 4 })
    .chain((values) => fc.tuple(fc.constant(values), mixed(values, value), cuts));

  test('are hidden wherever a stream is cut, and nothing else is', () => {
    fc.assert(
      fc.property(cases, ([values, text, where]) => {
        const bytes = Buffer.from(text);
        expect(streamed(createMask(values), bytes, where)).toEqual(slowly(values, bytes));
      }),
      { numRuns: 3_000 },
    );
  });

  test('are hidden byte by byte', () => {
    fc.assert(
      fc.property(cases, ([values, text]) => {
        const bytes = Buffer.from(text);
        const everywhere = Array.from(bytes, (_byte, index) => index);
        expect(streamed(createMask(values), bytes, everywhere)).toEqual(slowly(values, bytes));
      }),
    );
  });

  test('are not in the text that is left', () => {
    fc.assert(
      fc.property(cases, ([values, text]) => {
        const shown = createMask(values).text(text.toWellFormed());
        for (const each of values) expect(shown).not.toContain(each.toWellFormed());
        expect(Buffer.from(shown)).toEqual(slowly(values, Buffer.from(text)));
      }),
      { numRuns: 1_000 },
    );
  });

  test('are not in any text or key of JSON', () => {
    fc.assert(
      fc.property(cases, ([values, text]) => {
        const json = { [text]: [text, { deep: text }], plain: [1, null, true] };
        const shown = createMask(values).text(text);
        expect(createMask(values).json(json)).toEqual(
          Object.fromEntries([
            [shown, [shown, { [createMask(values).text('deep')]: shown }]],
            [createMask(values).text('plain'), [1, null, createMask(values).json(true)]],
          ]),
        );
      }),
    );
  });
});

test('bytes that are no text pass unchanged', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), cuts, (array, where) => {
      const bytes = Buffer.from(array);
      const mask = createMask(['a value that is not in it', 'ünd nöch einer']);
      expect(streamed(mask, bytes, where)).toEqual(bytes);
    }),
  );
});

test('a value in two halves is held back no longer than it may become one', () => {
  const stream = createMask(['hunter2-and-more']).stream();
  expect(stream.push(Buffer.from('the key is hunt')).toString()).toBe('the key is ');
  expect(stream.push(Buffer.from('ed, not hunter2-and')).toString()).toBe('hunted, not ');
  expect(stream.push(Buffer.from('-more!')).toString()).toBe('***!');
  expect(stream.push(Buffer.from('h')).toString()).toBe('');
  expect(stream.end().toString()).toBe('h');
});

test('values that overlap or touch become one row of stars', () => {
  const mask = createMask(['abcdef', 'defghi', 'abcd']);
  expect(mask.text('-abcdefghi-abcdabcd-')).toBe('-***-***-');
  expect(streamed(mask, Buffer.from('-abcdefghi-abcdabcd-'), [3, 8, 13, 15]).toString()).toBe('-***-***-');
});

describe('also hidden is', () => {
  const value = 'pä"ss\\w/rd+<1>&2';
  const mask = createMask([value]);
  const hidden = (text: string) => expect(mask.text(`say ${text}!`)).toBe('say ***!');

  test('the value in JSON', () => {
    hidden(JSON.stringify(value).slice(1, -1));
    hidden('p\\u00e4\\"ss\\\\w/rd+<1>&2');
    hidden('pä\\"ss\\\\w/rd+\\u003c1\\u003e\\u00262');
    expect(mask.text(JSON.stringify({ key: value }))).toBe('{"key":"***"}');
  });

  test('the value in a URL', () => {
    hidden(encodeURIComponent(value));
    expect(mask.text(String(new URLSearchParams({ key: value })))).toBe('key=***');
  });

  test.each([
    ['Python, quote', 'wJ/+=%C3%A9', 'wJ/%2B%3D%25C3%25A9'],
    ['Python, quote', 'a/b c~d', 'a/b%20c~d'],
    ['Python, quote_plus', 'a/b c~d', 'a%2Fb+c~d'],
    ['.NET, UrlEncode', 'wJ/+=é', 'wJ%2f%2b%3d%c3%a9'],
    ['a path', 'ключ/d', '%D0%BA%D0%BB%D1%8E%D1%87/d'],
    ['PHP, json_encode', 'wJ/é', 'wJ\\/\\u00e9'],
    ['PHP, json_encode as Unicode', 'wJ/é', 'wJ\\/é'],
    ['Gson', "abc'=<", 'abc\\u0027\\u003d\\u003c'],
    ['.NET, JsonSerializer', 'a+"b"é\\', 'a\\u002B\\u0022b\\u0022\\u00E9\\\\'],
  ])('as %s writes it: %s', (_, secret, written) => {
    expect(createMask([secret]).text(`<${written}>`)).toBe('<***>');
  });

  test('the value in base64, alone', () => {
    hidden(Buffer.from(value).toString('base64'));
    hidden(Buffer.from(value).toString('base64url'));
    hidden(Buffer.from(value).toString('base64').replaceAll('=', ''));
  });

  test('the value in base64, as a part of something', () => {
    const secret = 'correct horse battery staple';
    const shift = createMask([secret]);
    for (const [before, after] of [
      ['u:', ''],
      ['us:', ':'],
      ['use:', 'xy'],
      ['user:', 'xyz'],
    ]) {
      const token = Buffer.from(`${before}${secret}${after}`).toString('base64');
      const shown = shift.text(`Authorization: Basic ${token}`);
      expect(shown).toContain('***');
      // What is left beside the stars is what stood around the value, and at most six bits of it at each end.
      const left = shown.replace('Authorization: Basic ', '').replace('***', '');
      expect(left.length).toBeLessThanOrEqual(
        Math.ceil((((before as string).length + (after as string).length) * 4) / 3) + 6,
      );
    }
  });

  test('a long value in base64 with line breaks', () => {
    const secret = Array.from({ length: 300 }, (_, index) =>
      String.fromCharCode(33 + ((index * 7) % 90)),
    ).join('');
    const long = createMask([secret]);
    for (const columns of [76, 64]) {
      const wrapped = Buffer.from(secret)
        .toString('base64')
        .replaceAll(new RegExp(`.{${columns}}`, 'g'), '$&\n');
      expect(long.text(wrapped).replaceAll('***', '').trim()).toBe('');
    }
  });

  test('each line of a value with several', () => {
    const key = '-----BEGIN KEY-----\n  c2VjcmV0\r\n}\n-----END KEY-----\n';
    const pem = createMask([key]);
    expect(pem.text('a c2VjcmV0 b')).toBe('a *** b');
    expect(pem.text(`a ${key}b`)).toBe('a ***b');
    expect(pem.text(key.replaceAll(/\r?\n/g, '\r\n'))).toBe('***\r\n  ***\r\n}\r\n***\r\n');
    // A line of a character or two is everywhere.
    expect(pem.text('{ a }')).toBe('{ a }');
  });
});

test('a value of one character is hidden as it is', () => {
  const mask = createMask(['x', '']);
  expect(mask.text('axbxx')).toBe('a***b***');
  expect(mask.text(Buffer.from('x').toString('base64'))).toBe('eA==');
});

test('numbers that hold a value are hidden, and others stay numbers', () => {
  const mask = createMask(['123456', '1']);
  expect(mask.json({ pin: 123456, ms: 9912345699, count: 1, size: 2222 })).toEqual({
    pin: '***',
    ms: '99***99',
    count: 1,
    size: 2222,
  });
});

test('without values everything is what it was', () => {
  const chunk = Buffer.from('bytes');
  const json = { a: ['b'] };
  for (const mask of [noMask, createMask([]), createMask([''])]) {
    expect(mask.stream().push(chunk)).toBe(chunk);
    expect(mask.json(json)).toBe(json);
    expect(mask.text('text')).toBe('text');
  }
});

test('a text without values stays as it is, also where it is not well formed', () => {
  expect(createMask(['secret']).text('half \ud800 pair')).toBe('half \ud800 pair');
  expect(createMask(['secret']).json(JSON.parse('{"__proto__":"x"}'))).toEqual({
    ['__proto__']: 'x',
  });
});

/** The worst texts for searches that begin again: they take the same time for each byte. */
test.each([
  ['one letter again and again', 'a'.repeat(20_000)],
  ['a value that nearly comes', `b${'a'.repeat(20_000)}`],
  ['a value that nearly comes, from behind', `${'a'.repeat(20_000)}b`],
  ['a value that begins in itself', 'ab'.repeat(10_000)],
])('the time is linear: %s', (_, value) => {
  const mask = createMask([value]);
  const text = Buffer.from('a'.repeat(4_000_000));
  // Of the processor, not of the clock: others may be running too.
  const before = process.cpuUsage();
  const stream = mask.stream();
  // Small pieces: what is held back must not be read again with each of them.
  for (let start = 0; start < text.length; start += 100) stream.push(text.subarray(start, start + 100));
  stream.end();
  // By trying again at each byte it would be minutes.
  expect(process.cpuUsage(before).user / 1_000).toBeLessThan(5_000);
});
