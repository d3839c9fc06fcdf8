import { isUtf8 } from 'node:buffer';
import { Command } from 'commander';
import type { SentEvent } from '../../client/views.ts';
import type { Flags } from '../../config.ts';
import type { Json } from '../../core/json.ts';
import { configuredClient } from '../client.ts';
import { readBounded } from '../definition-file.ts';
import { outputOption, parseJson, serverOption, usage, withExamples } from '../options.ts';
import { type Format, print } from '../print.ts';

interface SendFlags extends Flags {
  key?: string;
  payload?: string;
  idempotencyKey?: string;
  output: Format;
}

export function sendCommand(): Command {
  const command = new Command('send')
    .description(
      'Send an event: every task that waits for its name and key completes with the payload. Where none does, it is kept for the first that comes to wait',
    )
    .summary('send an event that processes wait for')
    .argument('<name>', 'of the event')
    .option('--key <key>', 'which of that name: only tasks that wait for the same key are woken')
    .option('--payload <what>', 'JSON, @FILE with JSON in it, or - for stdin')
    .option('--idempotency-key <key>', 'the same key and event: sent once')
    .addOption(serverOption())
    .addOption(outputOption())
    .action(send);
  return withExamples(command, [
    `$ skipjack send payment-received --key 'order 4711' --payload '{"amount": 99.5}'`,
    '$ ./make-report | skipjack send report-made --payload -',
    "$ skipjack send shop-opened -o json | jq '.woken'",
  ]);
}

async function send(name: string, flags: SendFlags): Promise<void> {
  const { key, payload, idempotencyKey } = flags;
  const event = {
    name,
    key,
    payload: payload === undefined ? undefined : await readPayload(payload),
    idempotencyKey,
  };
  const sent = await configuredClient({ ...flags }).sendEvent(event);
  await print(sent, flags.output, () => toText(sent));
}

function toText({ id, woken, kept }: SentEvent): string {
  if (kept) return `${id}: kept, for nobody waited`;
  return `${id}: ${woken} ${woken === 1 ? 'task' : 'tasks'} woken`;
}

async function readPayload(given: string): Promise<Json> {
  if (given !== '-' && !given.startsWith('@')) return parseJson('--payload', given);
  const bytes = await readBounded(given === '-' ? '-' : given.slice(1));
  if (!isUtf8(bytes)) throw usage(`--payload ${given} is not text in UTF-8.`);
  return parseJson(`--payload ${given}`, bytes.toString('utf8'), '"hello"');
}
