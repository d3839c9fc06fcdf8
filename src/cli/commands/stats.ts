import { Command } from 'commander';
import type { Flags } from '../../config.ts';
import { configuredClient } from '../client.ts';
import { outputOption, serverOption, withExamples } from '../options.ts';
import { type Format, print } from '../print.ts';
import { formatFields } from '../table.ts';

export function statsCommand(): Command {
  const command = new Command('stats')
    .description('Count tasks by state, live processes, dead letters and workers')
    .summary('count tasks, processes, dead letters and workers')
    .addOption(serverOption())
    .addOption(outputOption())
    .action(async (flags: Flags & { output: Format }) => {
      const stats = await configuredClient(flags).readStats();
      await print(stats, flags.output, () =>
        formatFields([
          ...Object.entries(stats.tasks),
          ['processes', formatCounts(stats.processes)],
          ['oldest ready', stats.oldest_ready_at],
          [
            'dead letters',
            `${stats.dead_letters.waiting} wait, ${stats.dead_letters.last_hour} in the last hour`,
          ],
          ['workers', `${stats.workers.live} live with ${stats.workers.slots} slots`],
        ]),
      );
    });
  return withExamples(command, ['$ skipjack stats', '$ skipjack stats -o json | jq .tasks.ready']);
}

function formatCounts(counts: Record<string, number>): string {
  return Object.entries(counts)
    .map(([state, count]) => `${count} ${state}`)
    .join(', ');
}
