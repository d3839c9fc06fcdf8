import { Command } from 'commander';
import type { Flags } from '../../config.ts';
import { configuredClient } from '../client.ts';
import { outputOption, serverOption, withExamples } from '../options.ts';
import { type Format, print } from '../print.ts';

export function resumeCommand(): Command {
  const command = new Command('resume')
    .description('Hand out the tasks of a paused process again')
    .summary('let a paused process go on')
    .argument('<id>', 'of a process')
    .addOption(serverOption())
    .addOption(outputOption())
    .action(async (id: string, flags: Flags & { output: Format }) => {
      const process = await configuredClient(flags).resumeProcess(id);
      await print(process, flags.output, () => `The process is ${process.state}, and goes on.`);
    });
  return withExamples(command, ['$ skipjack resume 0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60']);
}
