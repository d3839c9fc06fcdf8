import { Command } from 'commander';
import type { Flags } from '../../config.ts';
import type { Json } from '../../core/json.ts';
import { configuredClient } from '../client.ts';
import { outputOption, serverOption, withExamples } from '../options.ts';
import { limitOption, readPages, remarkMore } from '../pages.ts';
import { type Format, print } from '../print.ts';
import { formatTable } from '../table.ts';

export function eventsCommand(): Command {
  const command = new Command('events')
    .description('Show what happened to a process and its tasks, oldest first')
    .summary('show what happened to a process')
    .argument('<id>', 'of the process')
    .addOption(limitOption(1_000))
    .addOption(serverOption())
    .addOption(outputOption())
    .action(events);
  return withExamples(command, [
    '$ skipjack events 0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
    `$ skipjack events $PROCESS_ID -o json | jq '.[] | select(.event == "attempt_failed")'`,
  ]);
}

async function events(id: string, flags: Flags & { limit: number; output: Format }): Promise<void> {
  const client = configuredClient(flags);
  const found = await readPages(flags.limit, async (page) => {
    const { events: rows, next_cursor } = await client.listProcessEvents(id, page);
    return { rows, next_cursor };
  });
  await print(found.rows, flags.output, () =>
    formatTable(found.rows, [
      { title: 'AT', value: (event) => event.at },
      { title: 'EVENT', value: (event) => event.event },
      { title: 'TASK', value: (event) => event.task },
      { title: 'BY', value: (event) => event.by },
      { title: 'DETAILS', value: (event) => shortened(event.details) },
    ]),
  );
  remarkMore(found, flags);
}

/** Of an error, what it says. */
function shortened(details: Json): string {
  if (details === null) return '';
  const isError =
    typeof details === 'object' && !Array.isArray(details) && typeof details.message === 'string';
  return isError ? String(details.message) : JSON.stringify(details);
}
