/**
 * A thousand processes that wait, each for its own key, and two servers, of which one is killed while events arrive.
 * Whoever was not answered sends again, with the same idempotency key, to the other.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'vitest';
import type { Client } from '../../src/client/client.ts';
import { SkipjackError } from '../../src/core/errors.ts';
import type { Json } from '../../src/core/json.ts';
import { test } from '../support/database.ts';
import { until } from '../support/program.ts';
import { startServer } from './support/scene.ts';

const definition = `
input: { order: { type: integer, required: true } }
tasks:
  - { name: Paid, wait_for: { event: paid, key: "\${{ input.order }}" } }
output: \${{ tasks.Paid.output }}
`;

const many = 1_000;
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);
/** Of the orders: paid before anybody waits, while somebody does, while processes start; and paid twice. */
const early = range(0, 300);
const waiting = range(300, 700);
const racing = range(700, many);
/** Of those, what is sent and started once a server was killed: it is missed then, however quick the other one is. */
const missing = (order: number) => order % 3 === 0;
const twice = range(200, 500);

/** So many at a time. */
async function inParallel<Item>(items: Item[], width: number, act: (item: Item) => Promise<unknown>) {
  const left = items.values();
  const lanes = range(0, width).map(async () => {
    for (const item of left) await act(item);
  });
  await Promise.all(lanes);
}

/** Calls one server after the other until one has answered. */
function createPatience(clients: Client[]) {
  const counts = { calls: 0, repeats: 0 };
  async function untilAnswered<Result>(call: (client: Client) => Promise<Result>): Promise<Result> {
    counts.calls += 1;
    for (let tries = 0; ; tries += 1) {
      const client = clients[(counts.calls + tries) % clients.length] as Client;
      try {
        return await call(client);
      } catch (error) {
        if (!(error instanceof SkipjackError) || error.status !== 503 || tries > 200) throw error;
        counts.repeats += 1;
        await pause(25);
      }
    }
  }
  return { untilAnswered, counts };
}

const payment = (order: number, which: string): Json => ({ order, which, by: `payer of ${order}` });

test('each of a thousand processes wakes once, with its own payload; only what nobody waited for is kept', async ({
  database,
}) => {
  const { sql, url } = database;
  const [one, other] = await Promise.all([startServer(url), startServer(url)]);
  await one.client.publishDefinition('order', definition);
  const { untilAnswered, counts } = createPatience([one.client, other.client]);

  const ids = new Map<number, string>();
  const start = async (order: number) => {
    const asked = { definition: 'order', input: { order }, idempotencyKey: `order ${order}` };
    const { id } = await untilAnswered((client) => client.startProcess(asked));
    ids.set(order, id);
  };
  const sent = { woke: 0, kept: 0 };
  const send = async (order: number, which: string) => {
    const event = { name: 'paid', key: String(order), payload: payment(order, which) };
    const answer = await untilAnswered((client) =>
      client.sendEvent({ ...event, idempotencyKey: `${which} payment of ${order}` }),
    );
    expect(answer.kept).toBe(answer.woken === 0);
    sent[answer.kept ? 'kept' : 'woke'] += 1;
  };

  const startedAt = performance.now();
  await inParallel(early, 20, (order) => send(order, 'first'));
  await inParallel([...early, ...waiting], 20, start);
  await until(
    'the early ones have ended, and the others wait',
    async () => {
      const [row] = await sql<{ ended: number; waits: number }>(
        `select (select count(*)::integer from skipjack.processes where state = 'completed') as ended,
         (select count(*)::integer from skipjack.event_waits) as waits`,
      );
      return row?.ended === early.length && row.waits === waiting.length;
    },
    120_000,
  );
  expect(sent).toEqual({ woke: 0, kept: early.length });

  let ended = 0;
  const untilEnded = (atLeast: number) =>
    until(
      `${atLeast} have ended`,
      async () => {
        const [row] = await sql<{ ended: number }>(
          `select count(*)::integer as ended from skipjack.processes where state = 'completed'`,
        );
        ended = row?.ended ?? 0;
        return ended >= atLeast;
      },
      120_000,
    );
  const killed = untilEnded(early.length + waiting.length / 4).then(() => one.program.kill('SIGKILL'));
  const pay = (order: number) => send(order, 'first');
  const startAndPay = async (order: number) => {
    const started = start(order);
    // Half of them when it may be there, or not yet; half of them before it is known whether it has started.
    if (order % 2 === 0) await started;
    await Promise.all([started, pay(order)]);
  };
  const payAll = (isWanted: (order: number) => boolean) => [
    inParallel(waiting.filter(isWanted), 10, pay),
    inParallel(racing.filter(isWanted), 10, startAndPay),
  ];
  await Promise.all([
    ...payAll((order) => !missing(order)),
    killed.then(() => {
      expect(ended).toBeLessThan(many);
      return Promise.all([one.restart(), ...payAll(missing)]);
    }),
  ]);
  expect(counts.repeats).toBeGreaterThan(0);

  const killedAt = ended;
  await untilEnded(many);
  // Nobody waits any more.
  await inParallel(twice, 20, (order) => send(order, 'second'));
  const tookMs = performance.now() - startedAt;

  expect(ids.size).toBe(many);
  const processes = await sql(
    `select process.id, process.state, result.output, (input.input ->> 'order')::integer as order
     from skipjack.processes as process
     join skipjack.process_inputs as input on input.process_id = process.id
     left join skipjack.process_results as result on result.process_id = process.id
     order by 4`,
  );
  expect(processes).toEqual(
    range(0, many).map((order) => ({
      id: ids.get(order),
      state: 'completed',
      output: payment(order, 'first'),
      order,
    })),
  );
  // Each was sent once, however often it was said.
  const events = await sql(
    `select key::integer as order, payload ->> 'which' as which, taken_at is null as kept
     from skipjack.events order by 1, 2`,
  );
  expect(events).toEqual(
    range(0, many).flatMap((order) => [
      { order, which: 'first', kept: false },
      ...(twice.includes(order) ? [{ order, which: 'second', kept: true }] : []),
    ]),
  );
  const [history] = await sql<{ woken: number; most: number }>(
    `select count(*)::integer as woken, max(times)::integer as most
     from (select count(*) as times from skipjack.process_history where event = 'task_completed' group by process_id) as counted`,
  );
  expect(history).toEqual({ woken: many, most: 1 });
  const left = await sql('select from skipjack.event_waits union all select from skipjack.engine_items');
  expect(left).toEqual([]);
  console.log(
    `${many} processes, ${events.length} events in ${Math.round(tookMs)} ms; a server killed when ${killedAt} had ended; ` +
      `${counts.repeats} of ${counts.calls + counts.repeats} calls were repeats; ${sent.woke} events found somebody waiting`,
  );
}, 300_000);
