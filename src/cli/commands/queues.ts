import { Command } from 'commander';
import type { Flags } from '../../config.ts';
import { configuredClient } from '../client.ts';
import { outputOption, serverOption, withExamples } from '../options.ts';
import { type Format, print, remark } from '../print.ts';
import { formatTable, shortTime } from '../table.ts';

export function queuesCommand(): Command {
  const command = new Command('queues')
    .description('Queues: how much waits on each, pausing and resuming')
    .summary('queues: list, pause, resume')
    .addCommand(listCommand())
    .addCommand(pauseCommand({ paused: true }))
    .addCommand(pauseCommand({ paused: false }));
  return withExamples(command, [
    '$ skipjack queues list',
    '$ skipjack queues pause mail',
    '$ skipjack queues resume mail',
  ]);
}

function listCommand(): Command {
  const command = new Command('list')
    .description('List queues that have live tasks, are served, or are paused')
    .addOption(serverOption())
    .addOption(outputOption())
    .action(async (flags: Flags & { output: Format }) => {
      const queues = await configuredClient(flags).listQueues();
      await print(queues, flags.output, () =>
        formatTable(queues, [
          { title: 'NAME', value: (queue) => queue.name },
          { title: 'PAUSED', value: (queue) => (queue.paused ? 'yes' : 'no') },
          { title: 'READY', value: (queue) => queue.ready },
          { title: 'SCHEDULED', value: (queue) => queue.scheduled },
          { title: 'HELD', value: (queue) => queue.held },
          { title: 'RUNNING', value: (queue) => queue.running },
          { title: 'OLDEST READY', value: (queue) => shortTime(queue.oldest_ready_at) },
        ]),
      );
    });
  return withExamples(command, ['$ skipjack queues list -o json']);
}

function pauseCommand({ paused }: { paused: boolean }): Command {
  const verb = paused ? 'pause' : 'resume';
  const command = new Command(verb)
    .description(paused ? 'Hand out nothing more of a queue; what runs goes on' : 'Hand out its tasks again')
    .argument('<name>')
    .addOption(serverOption())
    .addOption(outputOption())
    .action(async (name: string, flags: Flags & { output: Format }) => {
      const client = configuredClient(flags);
      const isKnown = (await client.listQueues()).some((queue) => queue.name === name);
      const queue = await client.setQueuePaused(name, paused);
      await print(queue, flags.output, () => `Queue "${name}" is ${paused ? 'paused' : 'resumed'}.`);
      if (!isKnown)
        remark(`Nobody uses a queue "${name}" yet: nothing waits on it, and no worker serves it.`);
    });
  return withExamples(command, [`$ skipjack queues ${verb} mail`]);
}
