import { Command } from 'commander';
import { type Flags, maskUrl, readConfig } from '../../config.ts';
import type { Database } from '../../database/connection.ts';
import { findDatabaseUrl, withDatabase } from '../database.ts';
import { checkAudit } from '../doctor/audit.ts';
import type { Check } from '../doctor/check.ts';
import { checkClock } from '../doctor/clock.ts';
import { checkLeases, checkServed } from '../doctor/queue.ts';
import { checkSchema } from '../doctor/schema.ts';
import { checkTransactions } from '../doctor/transactions.ts';
import { databaseUrlOption, dataOption, outputOption, withExamples } from '../options.ts';
import { type Format, print, remark } from '../print.ts';

export function doctorCommand(): Command {
  const command = new Command('doctor')
    .description(
      'Look for what is wrong: the schema, every rule of the auditor, overdue leases, queues that nobody serves, long transactions, clocks. Reads the whole record; changes nothing',
    )
    .summary('look for what is wrong')
    .addOption(databaseUrlOption())
    .addOption(dataOption())
    .addOption(outputOption())
    .action(doctor);
  return withExamples(command, [
    '$ skipjack doctor',
    '$ skipjack doctor -o json | jq \'.[] | select(.status == "wrong")\'',
  ]);
}

async function doctor(flags: Flags & { output: Format }): Promise<void> {
  const url = await findDatabaseUrl(readConfig(flags), flags);
  const checks = await withDatabase(url, examine);
  await print(checks, flags.output, () =>
    checks.map(({ check, status, detail }) => `${status.padEnd(5)}  ${check}: ${detail}`).join('\n'),
  );
  const count = checks.filter(({ status }) => status === 'wrong').length;
  if (count === 0) return;
  process.exitCode = 1;
  remark(`skipjack: ${count === 1 ? 'one thing is' : `${count} things are`} wrong with ${maskUrl(url)}.`);
}

async function examine(db: Database): Promise<Check[]> {
  const about = [...(await checkSchema(db)), ...(await checkClock(db)), ...(await checkTransactions(db))];
  // The rest reads tables that a schema of another version may not have.
  if (about.some(({ check, status }) => check === 'schema' && status === 'wrong')) return about;
  return [...about, ...(await checkLeases(db)), ...(await checkServed(db)), ...(await checkAudit(db))];
}
