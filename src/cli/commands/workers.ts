import { Command } from 'commander';
import type { Flags } from '../../config.ts';
import { configuredClient } from '../client.ts';
import { outputOption, serverOption, withExamples } from '../options.ts';
import { type Format, print } from '../print.ts';
import { formatTable, shortTime } from '../table.ts';

export function workersCommand(): Command {
  const command = new Command('workers')
    .description('List workers: where they are, what they serve, whether they live')
    .summary('list workers')
    .addOption(serverOption())
    .addOption(outputOption())
    .action(async (flags: Flags & { output: Format }) => {
      const workers = await configuredClient(flags).listWorkers();
      await print(workers, flags.output, () =>
        formatTable(workers, [
          { title: 'ID', value: (worker) => worker.id },
          { title: 'LIVE', value: (worker) => (worker.live ? 'yes' : 'no') },
          { title: 'HOST', value: (worker) => worker.host },
          { title: 'PID', value: (worker) => worker.pid },
          { title: 'QUEUES', value: (worker) => worker.queues.join(',') },
          { title: 'RUNNING', value: (worker) => `${worker.running}/${worker.slots}` },
          { title: 'LAST HEARD OF', value: (worker) => shortTime(worker.heartbeat_at) },
        ]),
      );
    });
  return withExamples(command, [
    '$ skipjack workers',
    "$ skipjack workers -o json | jq '.[] | select(.live | not)'",
  ]);
}
