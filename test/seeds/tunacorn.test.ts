/**
 * TunaCorn's text, run as written where it can be: both blocks of code, its definition, and the words of its
 * ProcessList and TaskList. Every call of ours is awaited; where we differ otherwise, the test's name says so.
 */
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { describe, expect } from 'vitest';
import { startServer } from '../../src/api/server.ts';
import { createClient } from '../../src/client/client.ts';
import { Engine } from '../../src/engine/engine.ts';
import { test as databaseTest } from '../support/database.ts';
import { statesOf } from '../support/processes.ts';

const asWritten = `tasks: 
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

const corrected = asWritten
  .replace('Open Load Application', 'Open Loan Application')
  .replace('Check House', 'Review Application Details');

const test = databaseTest.extend<{ engine: Engine; url: string }>({
  engine: async ({ database }, use) => {
    await use(new Engine({ queue: database.queue }));
  },
  url: async ({ engine }, use) => {
    const server = await startServer(engine, { port: 0 });
    await use(server.url);
    await server.close();
  },
});

async function inFile(text: string): Promise<string> {
  const file = path.join(await mkdtemp(path.join(tmpdir(), 'skipjack-tunacorn-')), 'loan.yaml');
  await writeFile(file, text);
  return file;
}

/** curl itself, as people use it. */
async function curl(...args: string[]) {
  const { stdout } = await execa('curl', ['-s', '-w', '\n%{http_code}', ...args]);
  const lines = stdout.split('\n');
  const status = Number(lines.pop());
  return { status, body: JSON.parse(lines.join('\n')) };
}

describe('its definition', () => {
  test('as written is refused, at its two mistakes: 11:13 and 16:9', async ({ engine, url }) => {
    const file = await inFile(asWritten);
    const problems = [
      { line: 11, column: 13, suggestion: 'Open Loan Application' },
      { line: 16, column: 9, message: 'there is no task "Check House"' },
    ];
    await expect(engine.startProcess({ file })).rejects.toMatchObject({
      code: 'invalid_definition',
      message: expect.stringContaining(
        'loan.yaml:11:13: there is no task "Open Load Application" (did you mean "Open Loan Application"?) (and 1 more)',
      ),
      problems,
    });
    const yaml = ['-H', 'content-type: application/yaml', '--data-binary', `@${file}`];
    const posted = await curl(`${url}/v1/processes`, ...yaml);
    expect(posted).toMatchObject({ status: 422, body: { code: 'invalid_definition', problems } });
    expect(posted.body.problems).toHaveLength(2);
  });

  test('corrected runs to the end, its tasks completed by people with curl', async ({ url }) => {
    const yaml = ['-H', 'content-type: application/yaml', '--data-binary', `@${await inFile(corrected)}`];
    const started = await curl(`${url}/v1/processes`, ...yaml);
    expect(started).toMatchObject({ status: 201, body: { active: ['Open Loan Application'], percent: 0 } });
    const process = `${url}/v1/processes/${started.body.id}`;
    const order: string[] = [];
    for (let rounds = 0; rounds < 10; rounds += 1) {
      const { body } = await curl(process);
      if (body.state === 'completed') break;
      expect(body.active.length, 'at least one active task').toBeGreaterThan(0);
      for (const name of body.active) {
        order.push(name);
        const output = JSON.stringify({ output: { by: 'a person', after: order.length }, by: 'ada' });
        const completed = await curl(
          `${process}/tasks/${encodeURIComponent(name)}/complete`,
          ...['-X', 'POST', '-H', 'content-type: application/json', '-d', output],
        );
        expect(completed).toMatchObject({ status: 200, body: { repeated: false } });
      }
    }
    expect(order).toEqual([
      'Open Loan Application',
      'Review Credit',
      'Review Assets',
      'Review Application Details',
      'Send Email',
    ]);
    expect(await curl(process)).toMatchObject({
      status: 200,
      body: {
        state: 'completed',
        percent: 100,
        counts: { completed: 5 },
        output: { 'Send Email': { by: 'a person', after: 5 } },
      },
    });
  });
});

test('its first block of code; differs: a file is started by { file }, through an engine', async ({
  engine,
}) => {
  const pathToDefinition = await inFile(corrected);

  const process = await engine.startProcess({ file: pathToDefinition });

  // Each process gets a universally unique identifier.
  expect(process.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);

  // Returns list of tasks ready for work.
  expect((await process.getActiveTasks()).map((task) => task.name)).toEqual(['Open Loan Application']);

  // Can complete tasks and provide data for task completion.
  await process.complete('Open Loan Application', { amount: 1_000_000 });

  // There are other tasks to complete after "Open Loan Application"
  expect(await process.isComplete()).toBe(false);

  // Returns all tasks that were waiting on "Open Loan Application" to complete.
  const tasks = await process.getActiveTasks();
  expect(tasks.map((task) => task.name)).toEqual([
    'Review Credit',
    'Review Assets',
    'Review Application Details',
  ]);
  expect(tasks.every((task) => task.attributes.amount === 1_000_000)).toBe(true);

  // We're able to fail individual tasks with relevant data.
  await process.fail('Review Credit', { message: 'Credit score was too low!' });

  expect(await process.isFailed()).toBe(true);
});

describe('its second block of code, the loop of a worker,', () => {
  const bucketDefinition = {
    input: { file: { type: 'string', required: true } },
    tasks: [
      { name: 'Create S3 Bucket' },
      { name: 'Upload File', needs: ['Create S3 Bucket'] },
      { name: 'Destroy S3 Bucket', needs: ['Create S3 Bucket', 'Upload File'] },
    ],
  };

  /** Buckets by name, with the files in them. */
  function createS3(calls: string[]) {
    const buckets = new Map<string, unknown[]>();
    return {
      async createBucket() {
        const name = `bucket-${buckets.size + 1}`;
        buckets.set(name, []);
        calls.push(`create ${name}`);
        return { name };
      },
      async uploadFile(name: unknown, file: unknown) {
        const bucket = buckets.get(String(name));
        if (!bucket) throw new Error(`there is no bucket ${name}`);
        bucket.push(file);
        calls.push(`upload ${file} to ${name}`);
        return { url: `s3://${name}/${file}` };
      },
      async destroyBucket(name: unknown) {
        if (!buckets.delete(String(name))) throw new Error(`there is no bucket ${name}`);
        calls.push(`destroy ${name}`);
      },
    };
  }

  test('repeated until the process is complete; differs: d3 is read as s3, and the last task is completed, which the text leaves out', async ({
    engine,
  }) => {
    const calls: string[] = [];
    const s3 = createS3(calls);
    const process = await engine.startProcess(
      { definition: bucketDefinition },
      { input: { file: 'report.pdf' } },
    );

    for (let rounds = 0; rounds < 10 && !(await process.isComplete()); rounds += 1) {
      // Get the first task in the Tasks available for work.
      const tasks = await process.getActiveTasks();

      for (let i = 0; i < tasks.length; i++) {
        const task = tasks[i] as (typeof tasks)[number];

        try {
          // This worker can do any of the following tasks...
          switch (task.name) {
            case 'Create S3 Bucket': {
              const bucket = await s3.createBucket();

              await process.complete(task.name, { bucketName: bucket.name });
              break;
            }

            case 'Upload File': {
              const file = await s3.uploadFile(task.attributes.bucketName, task.attributes.file);

              await process.complete(task.name, { url: file.url });
              break;
            }

            case 'Destroy S3 Bucket': {
              await s3.destroyBucket(task.attributes.bucketName);
              await process.complete(task.name);
              break;
            }
          }
        } catch (error) {
          await process.fail(task.name, { message: (error as Error).message });
        }
      }
    }

    expect(await process.isComplete()).toBe(true);
    expect(calls).toEqual(['create bucket-1', 'upload report.pdf to bucket-1', 'destroy bucket-1']);
  });

  test('with its own mistake, d3 for s3, fails its last task and the process, and says why', async ({
    engine,
  }) => {
    const s3 = createS3([]);
    const process = await engine.startProcess(
      { definition: bucketDefinition },
      { input: { file: 'report.pdf' } },
    );
    for (let rounds = 0; rounds < 3; rounds += 1) {
      for (const task of await process.getActiveTasks()) {
        try {
          switch (task.name) {
            case 'Create S3 Bucket': {
              const bucket = await s3.createBucket();
              await process.complete(task.name, { bucketName: bucket.name });
              break;
            }
            case 'Upload File': {
              const file = await s3.uploadFile(task.attributes.bucketName, task.attributes.file);
              await process.complete(task.name, { url: file.url });
              break;
            }
            case 'Destroy S3 Bucket': {
              // @ts-expect-error: so it is written.
              await d3.destroyBucket(task.attributes.bucketName);
              break;
            }
          }
        } catch (error) {
          await process.fail(task.name, { message: (error as Error).message });
        }
      }
    }
    expect(await process.isFailed()).toBe(true);
    expect((await process.read()).last_error).toEqual({
      code: 'failed',
      message: 'd3 is not defined',
      task: 'Destroy S3 Bucket',
    });
  });
});

describe('what it says of processes:', () => {
  test('several are started from the same definition, and carry their own state', async ({ engine }) => {
    await engine.publish({ source: corrected }, { name: 'loan' });
    const [one, other] = [await engine.startProcess('loan'), await engine.startProcess('loan')];
    await one.complete('Open Loan Application');
    expect((await one.read()).unfinished).toBe(4);
    expect((await other.read()).unfinished).toBe(5);
  });

  test('a task with several needs is active when all of them have completed', async ({
    database,
    engine,
  }) => {
    const process = await engine.startProcess({ source: corrected });
    await process.complete('Open Loan Application');
    for (const name of ['Review Credit', 'Review Assets']) {
      await process.complete(name);
      expect((await statesOf(database, process.id))['Send Email']).toBe('pending');
    }
    await process.complete('Review Application Details');
    expect((await process.getActiveTasks()).map((task) => task.name)).toEqual(['Send Email']);
  });

  test('loops are refused, with their way: A -> B -> A, and A -> B -> C -> A', async ({ engine }) => {
    for (const [needs, way] of [
      [{ A: ['B'], B: ['A'] }, 'A -> B -> A'],
      [{ A: ['B'], B: ['C'], C: ['A'] }, 'A -> B -> C -> A'],
    ] as const) {
      const tasks = Object.entries(needs).map(([name, each]) => ({ name, needs: [...each] }));
      await expect(engine.startProcess({ definition: { tasks } })).rejects.toThrow(way);
    }
  });

  test('the client that started one asks for its progress by its id', async ({ engine, url }) => {
    const { id } = await engine.startProcess({ source: corrected });
    await engine.process(id).complete('Open Loan Application');
    const { status, body } = await curl(`${url}/v1/processes/${id}`);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      id,
      state: 'running',
      percent: 20,
      counts: { completed: 1, ready: 3, pending: 1 },
      active: ['Review Credit', 'Review Assets', 'Review Application Details'],
    });
  });

  test('a failed task cancels its other tasks; differs: the process is then failed, not cancelled', async ({
    database,
    engine,
  }) => {
    const process = await engine.startProcess({ source: corrected });
    await process.complete('Open Loan Application');
    await process.fail('Review Assets', 'no assets');
    expect(await statesOf(database, process.id)).toEqual({
      'Open Loan Application': 'completed',
      'Review Credit': 'cancelled',
      'Review Assets': 'failed',
      'Review Application Details': 'cancelled',
      'Send Email': 'cancelled',
    });
    expect(await process.read()).toMatchObject({ state: 'failed', unfinished: 0 });
  });
});

describe('its ProcessList:', () => {
  test('fetch, persist and destroy are read, start and delete', async ({ engine }) => {
    const { id } = await engine.startProcess({ source: corrected });
    const process = engine.process(id);
    expect((await process.read()).id).toBe(id);
    await process.cancel();
    await process.delete();
    await expect(process.read()).rejects.toMatchObject({ code: 'not_found' });
  });

  test('optimistic locking: of two who have seen the same revision, one moves the process', async ({
    engine,
    url,
  }) => {
    const process = await engine.startProcess({ source: corrected });
    const [mine, theirs] = [await process.read(), await process.read()];
    expect(mine.revision).toBe(theirs.revision);
    const moves = [
      process.complete('Open Loan Application', 'mine', { ifRevision: mine.revision }),
      process.fail('Open Loan Application', 'theirs', { ifRevision: theirs.revision }),
    ];
    const said = await Promise.allSettled(moves);
    expect(said.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(said.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { code: 'precondition_failed', extra: { revision: expect.any(Number) } },
    });
    // The same over HTTP, by ETag and If-Match.
    const pause = ['-X', 'POST', `${url}/v1/processes/${process.id}/pause`, '-H'];
    expect((await curl(...pause, `if-match: "${mine.revision}"`)).status).toBe(412);
  });
});

describe('its TaskList:', () => {
  test('two workers cannot claim the same task', async ({ engine, url }) => {
    const { id } = await engine.startProcess({ source: corrected });
    const client = createClient({ url });
    const claims = await Promise.all(
      ['one', 'other'].map((worker) => client.claim({ queues: ['people'], worker })),
    );
    const claimed = claims.flat();
    expect(claimed).toMatchObject([{ name: 'Open Loan Application', process: { id } }]);
    await expect(engine.process(id).complete('Open Loan Application')).rejects.toMatchObject({
      code: 'already_claimed',
      extra: { worker: expect.stringMatching(/^(one|other)$/) },
    });
  });

  test('once a task is claimed, its worker sees the input of the process and the outputs of prior tasks', async ({
    engine,
    url,
  }) => {
    const { id } = await engine.startProcess({ source: corrected }, { input: { applicant: 'Ann' } });
    await engine.process(id).complete('Open Loan Application', { amount: 1_000_000 });
    const client = createClient({ url });
    const [task] = await client.claim({ queues: ['people'], worker: 'ada', name: 'Review Credit' });
    expect(task).toMatchObject({
      process: { id, input: { applicant: 'Ann' } },
      needs: { 'Open Loan Application': { amount: 1_000_000 } },
    });
  });

  test('a worker completes or fails what it has claimed, and when a task has completed what it kept waiting is on the list', async ({
    engine,
    url,
  }) => {
    const { id } = await engine.startProcess({ source: corrected });
    const client = createClient({ url });
    const claim = { queues: ['people'], worker: 'ada', limit: 10 };
    const [opened, ...others] = await client.claim(claim);
    if (!opened) throw new Error('nothing to claim');
    expect(others).toEqual([]);
    await client.complete(opened, { output: { amount: 1 } });
    const reviews = await client.claim(claim);
    expect(reviews.map((task) => task.name)).toEqual([
      'Review Credit',
      'Review Assets',
      'Review Application Details',
    ]);
    const [credit, ...running] = reviews;
    if (!credit) throw new Error('nothing to claim');
    await client.fail(credit, { error: 'Credit score was too low!' });
    // Those that run are asked to stop, and the process has failed when they have.
    expect((await engine.process(id).read()).state).toBe('failing');
    for (const task of running) await client.complete(task);
    expect(await engine.process(id).read()).toMatchObject({
      state: 'failed',
      counts: { completed: 3, failed: 1, cancelled: 1 },
    });
  });
});
