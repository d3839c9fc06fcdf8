// Runs one task with the built executors, in an OS process of its own: one that can be measured and killed.
// Given: a task's spec as JSON. Said, on stdout: how it ended, and how far this process's memory grew meanwhile.
import { commandExecutor } from '../../../dist/worker/executors/command.js';
import { scriptExecutor } from '../../../dist/worker/executors/script.js';
import { defaultPolicy } from '../../../dist/worker/policy.js';

const spec = JSON.parse(process.argv[2] ?? '');
const logged = { bytes: 0, ended: 0 };
const context = {
  signal: new AbortController().signal,
  killGraceMs: 1_000,
  heartbeat: async () => {},
  progress: () => {},
  mask: {
    stream: () => ({ push: (chunk) => chunk, end: () => Buffer.alloc(0) }),
    text: (text) => text,
    json: (value) => value,
  },
  log: {
    open: () => ({
      write: (chunk) => {
        logged.bytes += chunk.length;
      },
      end: () => {
        logged.ended += 1;
      },
    }),
    say: () => {},
  },
};
const executors = { command: commandExecutor, run: scriptExecutor };
const execute = executors[spec.type](defaultPolicy.commands);
const run = (each) =>
  execute(
    {
      id: '0197f8a0-0000-7000-8000-000000000001',
      attempt: 1,
      name: 'test',
      process: null,
      needs: {},
      input: null,
      spec: each,
    },
    context,
  );

// What everybody pays once is not what a large output costs.
await run({ type: spec.type, command: 'true', args: [], run: 'true' });
Object.assign(logged, { bytes: 0, ended: 0 });
const before = process.memoryUsage().rss;
let peak = before;
const watch = setInterval(() => {
  peak = Math.max(peak, process.memoryUsage().rss);
}, 5);
const ending = await run(spec);
clearInterval(watch);
console.log(JSON.stringify({ ending, logged, grownBytes: peak - before }));
