import { auditDatabase, auditRules } from '../../database/auditor.ts';
import type { Database } from '../../database/connection.ts';
import { type Check, ok, wrong } from './check.ts';

/** What must be true of the tables, over everything that is kept. */
export async function checkAudit(db: Database): Promise<Check[]> {
  const findings = await auditDatabase(db.pool);
  if (findings.length === 0) return [ok('audit', `${Object.keys(auditRules).length} rules hold`)];
  return findings.map(({ rule, subject, detail }) => wrong(`audit: ${rule}`, `${subject}: ${detail}`));
}
