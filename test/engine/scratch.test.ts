import { newId } from '../../src/core/ids.ts';
import { test } from '../support/database.ts';
import { newProcess } from '../support/processes.ts';
import { startProcesses } from '../../src/engine/start.ts';
import { keepInlineDefinition } from '../../src/engine/publish.ts';
import { parseDefinition } from '../../src/definition/parse-definition.ts';

test('timing', async ({ database }) => {
  const { db } = database;
  const keep = async (n: number, chain: boolean) => {
    const source = JSON.stringify({ tasks: Array.from({ length: n }, (_, i) => ({ name: `t${i}`, needs: chain && i > 0 ? [`t${i - 1}`] : [] })) });
    const parsed = parseDefinition(source);
    if (parsed.kind !== 'valid') throw new Error('x');
    return keepInlineDefinition(db, { source, plan: parsed.plan });
  };
  const kinds = { small: await keep(3, true), chain: await keep(10_000, true), wide: await keep(10_000, false) };
  for (const [kind, n] of [['small', 1], ['small', 200], ['small', 200], ['small', 20], ['small', 20], ['chain', 1], ['chain', 5], ['wide', 1], ['wide', 5], ['chain', 1]] as const) {
    const t = performance.now();
    await startProcesses(db, Array.from({ length: n }, () => newProcess({ definition_id: kinds[kind], input: {} })));
    console.log(kind, n, Math.round(performance.now() - t));
  }
});
