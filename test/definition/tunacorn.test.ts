/** TunaCorn's own example, which is wrong twice. */
import { expect, test } from 'vitest';
import { formatProblem } from '../../src/definition/format-problem.ts';
import { planOf, problemsOf } from './support/parse.ts';

const source = `tasks: 
  - name: Open Loan Application

  - name: Review Credit
    needs: [Open Loan Application]

  - name: Review Assets
    needs: [Open Loan Application]

  - name: Review Application Details
    needs: [Open Load Application]
  
  - name: Send Email
    needs: 
      - Review Credit
      - Check House
      - Review Assets
`;

test('both mistakes are shown where they are, and the one that is near a name with that name', () => {
  expect(problemsOf(source).map((problem) => formatProblem(problem, { file: 'tunacorn.yaml' }))).toEqual([
    `tunacorn.yaml:11:13: there is no task "Open Load Application" (unknown_need)
      needs: [Open Load Application]
              ^
  did you mean "Open Loan Application"?`,
    `tunacorn.yaml:16:9: there is no task "Check House" (unknown_need)
        - Check House
          ^`,
  ]);
});

test('a program gets the same as data', () => {
  expect(problemsOf(source)).toEqual([
    {
      pointer: '/tasks/3/needs/0',
      line: 11,
      column: 13,
      code: 'unknown_need',
      message: 'there is no task "Open Load Application"',
      suggestion: 'Open Loan Application',
      excerpt: '    needs: [Open Load Application]',
    },
    {
      pointer: '/tasks/4/needs/1',
      line: 16,
      column: 9,
      code: 'unknown_need',
      message: 'there is no task "Check House"',
      excerpt: '      - Check House',
    },
  ]);
});

test('put right it is a plan: forks, a join, and nothing to run but what people do', () => {
  const { name, fail_fast, input, tasks } = planOf(
    source.replace('Load', 'Loan').replace('Check House', 'Review Application Details'),
  );
  expect({ name, fail_fast, input }).toEqual({ name: null, fail_fast: true, input: null });
  expect(tasks.map((task) => [task.name, task.needs, task.dependents])).toEqual([
    ['Open Loan Application', [], [2, 3, 4]],
    ['Review Credit', [1], [5]],
    ['Review Assets', [1], [5]],
    ['Review Application Details', [1], [5]],
    ['Send Email', [2, 3, 4], []],
  ]);
  expect(tasks[0]).toEqual({
    name: 'Open Loan Application',
    queue: 'people',
    priority: 5,
    spec: null,
    input: null,
    labels: null,
    retry: null,
    timeout_ms: null,
    continue_on_error: false,
    needs: [],
    dependents: [2, 3, 4],
  });
});
