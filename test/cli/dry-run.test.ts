/** `run --dry-run`: what would be done, without a database. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { runCommand as run } from '../../src/cli/commands/run.ts';
import { runCommand } from './support/in-process.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'skipjack-dry-run-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

async function dryRun(source: string, ...args: string[]) {
  const file = join(directory, 'definition.yaml');
  await writeFile(file, source);
  return runCommand(run(), [file, '--dry-run', ...args]);
}

const loan = `name: loan-application
input:
  applicant: { type: string, required: true }
  amount: { type: number, default: 1000 }
deadline: 2d
tasks:
  - name: Pay Out
    needs: [Ask for Papers, Papers]
    if: "!failure()"
    process: { definition: payout, version: 2, input: { amount: "\${{ input.amount }}" } }
  - name: Open Loan Application
  - name: Review Credit
    needs: [Open Loan Application]
    run: ./score "$APPLICANT"
    env: { APPLICANT: "\${{ input.applicant }}" }
    retry: { attempts: 5, on: { exit_codes: [75], codes: [timed_out] }, within: 1h }
    timeout: 30s
  - name: Ask for Papers
    needs: [Review Credit]
    each: tasks["Review Credit"].output.missing
    concurrency: 5
    command: mail
    args: ["\${{ item }}"]
  - name: Papers
    needs: [Review Credit]
    wait_for: { event: papers, key: "\${{ input.applicant }}", timeout: 7d }
  - name: Pause
    sleep: 10m
output: \${{ tasks["Pay Out"].output }}
on_failure: loan-cleanup
`;

test('shows each task after what it needs, with what it waits for and runs', async () => {
  expect(await dryRun(loan, '--input', 'applicant=Ann')).toEqual({
    code: 0,
    stdout: `loan-application: 6 tasks in 4 steps. Nothing was run.
input     {"applicant":"Ann","amount":1000}
deadline  2d

Step 1, at the same time
  Open Loan Application
    waits for somebody to complete it, on queue "people"
  Pause
    sleeps    10m

Step 2
  Review Credit
    needs     Open Loan Application
    runs      ./score "$APPLICANT"
    env       APPLICANT=\${{ input.applicant }}
    retry     5 attempts, after exit code 75, timed_out, within 1h
    timeout   30s

Step 3, at the same time
  Ask for Papers
    needs     Review Credit
    each      \${{ tasks["Review Credit"].output.missing }}, 5 at the same time
    runs      mail '\${{ item }}'
  Papers
    needs     Review Credit
    waits for the event "papers" with key "\${{ input.applicant }}", 7d at most

Step 4
  Pay Out
    needs     Ask for Papers, Papers
    if        !failure()
    starts    process "payout", version 2
    input     {"amount":"\${{ input.amount }}"}

output      \${{ tasks["Pay Out"].output }}
on failure  starts process "loan-cleanup"
`,
  });
});

test('as JSON it has every step, with the plan of each task', async () => {
  const { code, stdout } = await dryRun(loan, '--input', 'applicant=Ann', '-o', 'json');
  expect(code).toBe(0);
  const plan = JSON.parse(stdout);
  expect(plan).toMatchObject({
    definition: 'loan-application',
    input: { applicant: 'Ann', amount: 1000 },
    deadline: '2d',
    on_failure: { definition: 'loan-cleanup' },
  });
  expect(plan.steps.map((step: { name: string }[]) => step.map(({ name }) => name))).toEqual([
    ['Open Loan Application', 'Pause'],
    ['Review Credit'],
    ['Ask for Papers', 'Papers'],
    ['Pay Out'],
  ]);
  expect(plan.steps[2][1]).toMatchObject({
    ordinal: 5,
    queue: null,
    wait_for: { event: 'papers', timeout: '7d' },
  });
});

test('an input that does not fit is refused as at a start: exit code 5', async () => {
  const { code, message, stdout } = await dryRun(loan, '--input', 'amount=many', '--input', 'x=1');
  expect({ code, stdout }).toEqual({ code: 5, stdout: '' });
  expect(message).toBe('/input/amount: is string, not number (and 2 more)');
});

test('a definition with problems is refused: exit code 5', async () => {
  expect(await dryRun('tasks: [{ name: A, needs: B }]')).toMatchObject({ code: 5, stdout: '' });
});

test('values that would rule the terminal do not', async () => {
  const { stdout } = await dryRun('tasks: [{ name: "A\\e[31m", run: "true\\e[2J" }]');
  expect(stdout).not.toContain('\u001b');
});
