import { Command } from 'commander';
import { type Flags, readConfig } from '../../config.ts';
import { migrateDatabase } from '../../database/migrate.ts';
import { explainDatabaseFault, findDatabaseUrl } from '../database.ts';
import { databaseUrlOption, dataOption, outputOption, withExamples } from '../options.ts';
import { type Format, print } from '../print.ts';

export function migrateCommand(): Command {
  const command = new Command('migrate')
    .description('Bring the database schema to this version. Safe to run by many at once, and again')
    .summary('bring the database schema to this version')
    .addOption(databaseUrlOption())
    .addOption(dataOption())
    .addOption(outputOption())
    .action(migrate);
  return withExamples(command, [
    '$ DATABASE_URL=postgres://user:password@localhost:5432/app skipjack migrate',
  ]);
}

async function migrate(flags: Flags & { output: Format }): Promise<void> {
  const url = await findDatabaseUrl(readConfig(flags), flags);
  const done = await migrateDatabase(url).catch((error) => {
    throw explainDatabaseFault(error, url);
  });
  await print(done, flags.output, () =>
    done.applied === 0
      ? `The schema is at version ${done.version} already.`
      : `Applied ${done.applied} migration${done.applied === 1 ? '' : 's'}; the schema is at version ${done.version}.`,
  );
}
