import type { TestApi } from './api.ts';

export const yaml = { 'content-type': 'application/yaml' };

/** TunaCorn's loan, without its two mistakes. */
export const loan = `input:
  amount: { type: integer, default: 1000 }
tasks:
  - name: Open Loan Application
  - name: Review Credit
    needs: [Open Loan Application]
  - name: Review Assets
    needs: [Open Loan Application]
  - name: Send Email
    needs: [Review Credit, Review Assets]
`;

/** TunaCorn's own text, which is wrong twice. */
export const wrongLoan = `tasks:
  - name: Open Loan Application

  - name: Review Application Details
    needs: [Open Load Application]

  - name: Send Email
    needs:
      - Check House
`;

/** Starts a process of the definition in hand; answers its path. */
export async function startInline(api: TestApi, definition: object): Promise<string> {
  const { status, body } = await api.post('/v1/processes', { definition });
  if (status !== 201) throw new Error(JSON.stringify(body));
  return `/v1/processes/${body.id}`;
}

/** A path of one's own for a task of a process by its name. */
export function taskPath(process: string, name: string, move: 'complete' | 'fail'): string {
  return `${process}/tasks/${encodeURIComponent(name)}/${move}`;
}
