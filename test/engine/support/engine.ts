/** A test with an engine over its database, and short ways to say what most tests of it say. */
import { Engine } from '../../../src/engine/engine.ts';
import { test as databaseTest } from '../../support/database.ts';

export const test = databaseTest.extend<{ engine: Engine }>({
  engine: async ({ database }, use) => {
    const engine = new Engine({ queue: database.queue });
    await use(engine);
    await engine.close();
  },
});

/** One task, which waits for whoever claims or names it. */
export const oneTask = 'tasks: [{ name: A }]\n';

/** TunaCorn's fork and join, with the names that it meant. */
export const loan = `name: loan
tasks:
  - name: Open Loan Application
  - name: Review Credit
    needs: [Open Loan Application]
  - name: Review Assets
    needs: [Open Loan Application]
  - name: Send Email
    needs: [Review Credit, Review Assets]
`;

/** What was thrown, as a person or program would look at it. */
export async function refusalOf(
  call: Promise<unknown>,
): Promise<{ code: unknown; message: string; problems: unknown; extra: unknown }> {
  const { code, message, problems, extra } = await call.then(
    () => ({ code: 'nothing was refused', message: '', problems: null, extra: null }),
    (error) => error,
  );
  return { code, message, problems, extra };
}
