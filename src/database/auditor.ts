/**
 * The auditor: what must be true of the tables whenever no transaction is under way, and cannot be said by a
 * CHECK because it spans rows. Each rule is a query that finds the rows which break it.
 *
 * It runs after every test that touches a database, in `skipjack doctor`, and reads everything that is kept.
 */
import type pg from 'pg';
import { processRules } from './auditor-processes.ts';
import { taskRules } from './auditor-tasks.ts';
import { thinkingRules } from './auditor-thinking.ts';

export interface Finding {
  rule: string;
  /** The task, process, worker, event or key it is about. */
  subject: string;
  detail: string;
}

/** Findings shown of each rule; there may be more. */
const findingsPerRuleMax = 20;

export const auditRules: Record<string, string> = { ...taskRules, ...processRules, ...thinkingRules };

/** Everything that is wrong, at most 20 findings a rule; an empty list is what one hopes for. */
export async function auditDatabase(client: Pick<pg.ClientBase, 'query'> | pg.Pool): Promise<Finding[]> {
  const queries = Object.entries(auditRules).map(
    ([rule, sql]) =>
      `select '${rule}' as rule, subject, detail from (${sql} limit ${findingsPerRuleMax}) as found`,
  );
  // One statement, one snapshot: between two of them a task may rightly have moved.
  const { rows } = await (client as pg.Pool).query<Finding>(
    queries.map((query) => `(${query})`).join(' union all '),
  );
  return rows;
}
