/** What a task runs: references to secrets taken apart, sizes, keys in order. */
import { describe, expect, test } from 'vitest';
import { parseBytes } from '../../src/core/bytes.ts';
import { findReferenceProblem, toSecretText } from '../../src/core/secret-text.ts';
import { mapTexts, pickWork, readSpec, referSecrets, type Spec } from '../../src/core/spec.ts';
import { parseTaskInput } from '../../src/core/task-input.ts';
import fc from '../support/fast-check.ts';

describe('text with references to secrets', () => {
  test.each([
    ['plain', 'plain'],
    ['', ''],
    ['${{ secrets.A }}', [{ secret: 'A' }]],
    ['${{secrets.A}}', [{ secret: 'A' }]],
    ['Bearer ${{ secrets.API_TOKEN }}!', ['Bearer ', { secret: 'API_TOKEN' }, '!']],
    ['${{ secrets.A }}${{ secrets.B }}', [{ secret: 'A' }, { secret: 'B' }]],
    // Refused where it is written; where it is read nothing is guessed.
    ['${{ input.a }}', '${{ input.a }}'],
    ['$ {{ secrets.A }}', '$ {{ secrets.A }}'],
  ])('%j is %j', (text, parts) => expect(toSecretText(text)).toEqual(parts));

  test.each(['${{ input.a }}', '${{ secrets.a-b }}', 'x ${{ secrets.A }} ${{', '${{ secrets.A | upper }}'])(
    '%j is a problem',
    (text) => expect(findReferenceProblem(text)).toMatch('no process'),
  );

  test('nothing of a text is lost, whatever it holds', () => {
    const part = fc.oneof(fc.string(), fc.constantFrom('${{ secrets.A }}', '${{', '}}', 'secrets.B', '$'));
    fc.assert(
      fc.property(fc.array(part), (parts) => {
        const text = parts.join('');
        const taken = toSecretText(text);
        const again = (Array.isArray(taken) ? taken : [taken])
          .map((each) => (typeof each === 'string' ? each : `\${{ secrets.${each.secret} }}`))
          .join('');
        expect(again).toBe(text.replaceAll(/\$\{\{\s*(secrets\.\w+)\s*\}\}/g, '${{ $1 }}'));
      }),
    );
  });

  test('they are taken apart in each place where they may stand, and nowhere else', () => {
    const secret = '${{ secrets.A }}';
    const { spec, input } = parseTaskInput({
      image: 'x',
      cmd: [secret],
      entrypoint: ['y', secret],
      env: { A: secret },
      stdin: 'plain',
      registry: { username: 'me', password: secret },
      pre: [{ image: 'z', cmd: [secret], env: { B: secret } }],
      sidecars: [{ name: 'db', image: 'z', env: { C: secret } }],
      input: { text: secret },
    });
    const apart = [{ secret: 'A' }];
    expect(referSecrets(spec)).toEqual({
      type: 'container',
      image: 'x',
      cmd: [apart],
      entrypoint: ['y', apart],
      env: { A: apart },
      stdin: 'plain',
      registry: { username: 'me', password: apart },
      pre: [{ image: 'z', cmd: [apart], env: { B: apart } }],
      sidecars: [{ name: 'db', image: 'z', env: { C: apart } }],
    });
    expect(input).toEqual({ text: secret });
  });

  test('a value that was put in is not looked at again', () => {
    const spec = referSecrets({ type: 'run', run: 'x', env: { A: '${{ secrets.A }}' } }) as Spec<unknown>;
    const put = mapTexts(spec, () => '${{ secrets.B }}');
    expect(put).toEqual({ type: 'run', run: 'x', env: { A: '${{ secrets.B }}' } });
  });
});

test.each([
  ['512m', 512 * 1024 ** 2],
  ['2g', 2 * 1024 ** 3],
  ['1.5g', 1.5 * 1024 ** 3],
  ['64MiB', 64 * 1024 ** 2],
  ['10', 10],
  ['lots', null],
  ['-1m', null],
  ['', null],
  ['99999999999999999g', null],
])('the size %j is %j', (text, bytes) => expect(parseBytes(text)).toBe(bytes));

test('a spec is shown with its keys in order, and found again among the keys of a task', () => {
  const stored = JSON.parse('{"env":{"A":"1"},"cmd":["x"],"type":"container","image":"y","limits":null}');
  const read = readSpec(stored);
  expect(JSON.stringify(read)).toBe('{"type":"container","image":"y","cmd":["x"],"env":{"A":"1"}}');
  expect(pickWork({ ...read, name: 'other', id: '7' } as never)).toEqual(read);
  const unknown = { type: 'of a newer version', what: 1 } as never;
  expect(readSpec(unknown)).toBe(unknown);
});

describe('a container task', () => {
  test('goes to the queue of containers, under the name of its image', () => {
    expect(parseTaskInput({ image: 'busybox', cmd: ['true'] })).toMatchObject({
      name: 'busybox',
      queue: 'containers',
      spec: { type: 'container', image: 'busybox', cmd: ['true'] },
    });
    expect(parseTaskInput({ type: 'container', image: 'x', run: 'y', queue: 'q' })).toMatchObject({
      queue: 'q',
      spec: { type: 'container', image: 'x', run: 'y' },
    });
  });

  test.each([
    [{ image: 'x', command: 'y' }, '/command'],
    [{ image: 'x', args: ['y'] }, '/args'],
    [{ image: '-v/:/host' }, '/image'],
    [{ image: 'x', user: '--privileged' }, '/user'],
    [{ image: 'x', networks: ['host'] }, '/networks/0'],
    [{ image: 'x', networks: ['container:y'] }, '/networks/0'],
    [{ image: 'x', volumes: ['/a:/b'] }, '/volumes/0'],
    [{ image: 'x', volumes: ['/a', '/a'] }, '/volumes'],
    [{ image: 'x', files: { '../a': '' } }, '/files'],
    [{ image: 'x', mounts: [{ type: 'bind', source: '/a,readonly', target: '/b' }] }, '/mounts/0/source'],
    [{ image: 'x', limits: { memory: '1m' } }, '/limits/memory'],
    [{ image: 'x', privileged: true }, '/privileged'],
    [{ image: 'x', env: { 'A=B': '1' } }, '/env/A=B'],
    [{ command: 'x', volumes: ['/a'] }, '/volumes'],
    [{ handler: 'x', stdin: 'y' }, '/stdin'],
    [
      {
        image: 'x',
        sidecars: [
          { name: 'a', image: 'y' },
          { name: 'a', image: 'y' },
        ],
      },
      '/sidecars',
    ],
  ])('%j is refused at %s', (body, pointer) => {
    try {
      parseTaskInput(body);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: 'invalid_request', problems: [{ pointer }] });
    }
  });
});
