import { Command } from 'commander';
import type { Flags } from '../../config.ts';
import { configuredClient } from '../client.ts';
import { outputOption, serverOption, withExamples } from '../options.ts';
import { type Format, print } from '../print.ts';

export function pauseCommand(): Command {
  const command = new Command('pause')
    .description('Hand out nothing more of a process; what runs goes on')
    .summary('hold a process')
    .argument('<id>', 'of a process')
    .addOption(serverOption())
    .addOption(outputOption())
    .action(async (id: string, flags: Flags & { output: Format }) => {
      const process = await configuredClient(flags).pauseProcess(id);
      await print(
        process,
        flags.output,
        () => `The process is ${process.state}, and paused: nothing more of it starts.`,
      );
    });
  return withExamples(command, ['$ skipjack pause 0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60']);
}
