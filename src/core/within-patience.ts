import { SkipjackError } from './errors.ts';

/** A database that hangs is one that does not answer; probes and scrapers give up after some seconds, and should hear why. */
const patienceMs = 2_500;

/** The answer of a database, or `database_unreachable` when it takes too long or is none. */
export async function withinPatience<Answer>(answer: Promise<Answer>): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const sentence = `The database did not answer within ${patienceMs} ms.`;
    timer = setTimeout(() => reject(new SkipjackError('database_unreachable', sentence)), patienceMs);
  });
  try {
    return await Promise.race([answer, late]);
  } catch (error) {
    if (error instanceof SkipjackError) throw error;
    // Whatever it is, a wrong password included: who asked cannot do its work.
    throw new SkipjackError('database_unreachable', 'The database does not answer as it should.', {
      cause: error,
    });
  } finally {
    clearTimeout(timer);
  }
}
