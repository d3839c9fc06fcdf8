/** How a problem looks: the caret stands under the place, whatever the line holds. */
import { expect, test } from 'vitest';
import { formatProblem } from '../../src/definition/format-problem.ts';
import { problemsOf } from './support/parse.ts';

const shown = (source: string) =>
  problemsOf(source).map((problem) => formatProblem(problem, { file: 'f.yaml' }));

test('message, line, caret, and what was meant', () => {
  expect(shown('tasks:\n  - name: build\n  - name: test\n    neds: build\n')).toEqual([
    `f.yaml:4:5: unknown key "neds" (unknown_key)
      neds: build
      ^
  did you mean "needs"?`,
  ]);
});

test('the other places that have to do with it come after it', () => {
  expect(shown('tasks:\n  - name: A\n    needs: B\n  - name: B\n    needs: A\n  - name: A\n')).toEqual([
    `f.yaml:3:12: these tasks need each other in a circle: A -> B -> A (cycle)
      needs: B
             ^
  f.yaml:5:12: "B" needs "A"
      needs: A
             ^`,
    `f.yaml:6:11: there are two tasks "A" (duplicate_name)
    - name: A
            ^
  f.yaml:2:11: the first is here
    - name: A
            ^`,
  ]);
});

test('tabs are shown as two spaces, and counted as one character', () => {
  expect(shown('{\n\t"tasks": [\n\t\t{ "name": "A",\t"needs": "B" }\n\t]\n}')).toEqual([
    `f.yaml:3:27: there is no task "B" (unknown_need)
      { "name": "A",  "needs": "B" }
                               ^`,
  ]);
});

test('wide characters take two columns, marks take none', () => {
  expect(shown('tasks: [{ name: "日本 👩‍👩‍👧 e\u0301", needs: B }]')).toEqual([
    `f.yaml:1:34: there is no task "B" (unknown_need)
  tasks: [{ name: "日本 👩‍👩‍👧 e\u0301", needs: B }]
                                      ^`,
  ]);
});

test('a long line is cut around the place', () => {
  const long = 'x'.repeat(190);
  const [text] = shown(`tasks: [{ name: ${long}, needs: [B, ${long}] }]`);
  const [head, line = '', caret = ''] = text?.split('\n') ?? [];
  expect(head).toBe('f.yaml:1:217: there is no task "B" (unknown_need)');
  expect(line.length).toBeLessThan(110);
  expect(line).toMatch(/^ {2}….*x, needs: \[B, x+…$/);
  expect(line[caret.indexOf('^')]).toBe('B');
});

test('the caret of any column of any line stands under its character', () => {
  const words = Array.from({ length: 60 }, (_, index) => `u${index}`);
  for (const problem of problemsOf(`tasks: [{ name: A, needs: [${words.join(', ')}] }]`)) {
    const [head, line = '', caret = ''] = formatProblem(problem, { file: 'f' }).split('\n');
    const name = /"(u\d+)"/.exec(head ?? '')?.[1] ?? '?';
    expect(line.slice(caret.indexOf('^')).startsWith(name), head).toBe(true);
  }
});

test('a file cannot rule the terminal that shows it', () => {
  const [text] = shown('tasks: [{ name: A, needs: ["\u001b[2J\u009b31m", x] }]');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
});

test('a problem with no line to show is one line', () => {
  expect(shown('')).toEqual([
    'f.yaml:1:1: a definition is a map with tasks, but there is nothing here (wrong_type)',
  ]);
});
