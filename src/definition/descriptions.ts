/**
 * What the keys of a definition mean, for editors and for `skipjack explain`: by their places, `<name>` where any may
 * stand. What the schemas say already is said there. A test holds this against the keys that there are.
 */

export interface FieldWords {
  description?: string;
  /** What holds without it. */
  default?: unknown;
  example?: unknown;
}

export const fieldWords: Record<string, FieldWords> = {
  '': {
    description: 'A definition of processes, in YAML 1.2 or JSON: tasks, what they need, and what they run.',
  },
  name: {
    description:
      'The name under which it is published and started. A file that is only run, or put under a name, needs none.',
    example: 'loan-application',
  },
  description: { description: 'For people: what it is for.', example: 'Decides on a loan.' },
  input: {
    description:
      'What a process may be started with: names, each with its rule. Without it any object is accepted; an empty map accepts nothing.',
    example: { applicant: { type: 'string', required: true }, amount: { type: 'number', default: 1000 } },
  },
  'input.<name>': {
    description: 'The rule of one input, checked whoever starts the process.',
    example: { type: 'number', default: 1000 },
  },
  'input.<name>.type': { description: 'What it must be.', default: 'any', example: 'number' },
  'input.<name>.required': { description: 'A process cannot be started without it.', default: false },
  'input.<name>.default': {
    description: 'What it is when it is not given. Any JSON value of its type.',
    example: 1000,
  },
  'input.<name>.enum': { description: 'The only values that it may have.', example: ['small', 'large'] },
  'input.<name>.description': { description: 'For people: what it means.', example: 'In euros.' },
  defaults: {
    description: 'What every task begins with. Maps are merged key by key, and what a task says itself wins.',
    example: { retry: { attempts: 3 }, timeout: '10m' },
  },
  fail_fast: {
    description:
      'When a task has failed for good: true stops all others, false lets those finish first that do not need it.',
    default: true,
  },
  tasks: {
    description: 'What is to be done. A task runs as soon as all that it needs has ended; at least one.',
    example: [
      { name: 'Build', run: 'make' },
      { name: 'Test', needs: 'Build', run: 'make test' },
    ],
  },
  output: {
    description:
      'What the process yields, with expressions. Without it: the outputs of the tasks that no other needs, by name.',
    example: '${{ tasks["Pay Out"].output }}',
  },
  on_failure: {
    description:
      'A definition that is started with what happened, once a process of this one has failed. That one cannot be retried any more.',
    example: 'loan-cleanup',
  },
  'on_failure.definition': { description: 'Its name.', example: 'loan-cleanup' },
  'on_failure.version': { description: 'Its version; without it the newest.', example: 2 },
  deadline: {
    description:
      'How long a process may take from its start. Past it whatever is left is stopped, and the process has failed.',
    example: '2h',
  },

  'tasks.name': {
    description: 'Its name, unique in the definition: others need it by this, and expressions name it so.',
    example: 'Review Credit',
  },
  'tasks.description': { description: 'For people: what it does.', example: 'Asks the credit bureau.' },
  'tasks.needs': {
    description: 'The tasks that must end before it: their names, or one name. None: it begins at once.',
    example: ['Review Credit', 'Review Assets'],
  },
  'tasks.if': {
    description:
      'An expression: the task is skipped where it is false. Without always(), failure(), success() or cancelled() in it, it is also skipped where one of its needs was, and cancelled where one has failed.',
    default: 'success()',
    example: 'tasks["Review Credit"].output.score < 600',
  },
  'tasks.each': {
    description:
      'Runs the task once for each item of a list, or of what an expression yields; an item is ${{ item }}, its place ${{ index }}. Its output is the list of theirs.',
    example: '${{ tasks["Review Credit"].output.missing }}',
  },
  'tasks.matrix': {
    description: 'The same for every combination of a value of each list: ${{ item.os }}.',
    example: { os: ['linux', 'macos'], node: [20, 22] },
  },
  'tasks.matrix.<name>': {
    description: 'Its values: a list, or one ${{ … }} that yields one.',
    example: ['linux', 'macos'],
  },
  'tasks.concurrency': {
    description: 'Items that may be active at the same time; without it all of them.',
    example: 5,
  },
  'tasks.max_failures': { description: 'Items that may fail for good before the task fails.', default: 0 },
  'tasks.process': {
    description:
      'Starts a process of a published definition, by its name or a map, and waits for its end. The output is that of the process.',
    example: { definition: 'payout', input: { amount: '${{ input.amount }}' } },
  },
  'tasks.process.definition': { description: 'The name of the definition.', example: 'payout' },
  'tasks.process.version': { description: 'Its version; without it the newest.', example: 2 },
  'tasks.process.input': {
    description: 'What it is started with: a map with expressions, or one ${{ … }} that yields one.',
    example: { amount: '${{ input.amount }}' },
  },
  'tasks.process.input.<name>': { description: 'Any JSON value, with expressions.' },
  'tasks.process.detached': {
    description: 'Does not wait for its end: the task completes at once with {process_id}.',
    default: false,
  },
  'tasks.sleep': {
    description: 'Waits so long, or until a time, and completes with null. Takes no worker.',
    example: '10m',
  },
  'tasks.sleep.until': {
    description: 'A time in RFC 3339, or an expression that yields one.',
    example: '2026-01-31T08:00:00Z',
  },
  'tasks.wait_for': {
    description:
      'Waits for an event, by its name or a map, and completes with its payload. Events come by "skipjack send", POST /v1/events, or skipjack.send_event in SQL.',
    example: { event: 'paid', key: '${{ input.order }}', timeout: '7d' },
  },
  'tasks.wait_for.event': { description: 'The name of the event.', example: 'paid' },
  'tasks.wait_for.key': {
    description: 'Which of that name: only an event with the same key is taken.',
    example: '${{ input.order }}',
  },
  'tasks.wait_for.timeout': {
    description: 'Fails with event_timeout when none has come for so long; without it, it waits for ever.',
    example: '7d',
  },
  'tasks.continue_on_error': {
    description: 'When it has failed for good, what needs it runs all the same, and the process goes on.',
    default: false,
  },

  'tasks.type': {
    description: 'What it runs; follows from "command", "run", "handler" or "image".',
    example: 'command',
  },
  'tasks.command': { description: 'An executable, run without a shell.', example: 'echo' },
  'tasks.args': {
    description: 'Its arguments, each with expressions.',
    example: ['hello', '${{ input.name }}'],
  },
  'tasks.run': {
    description:
      "A script for the shell; with an image, for the image's. No template: values come by env and $SKIPJACK_INPUT.",
    example: './score "$APPLICANT"',
  },
  'tasks.handler': {
    description: 'The name of a function that a worker registers.',
    example: 'send-email',
  },
  'tasks.image': { description: 'An image: the task runs in a container.', example: 'alpine:3.20' },
  'tasks.queue': {
    description:
      'Where it waits for a worker. Without it: default, containers for images, the name of its handler, or people where there is nothing to run.',
    example: 'mail',
  },
  'tasks.priority': { description: '0 to 9; higher ones are handed out first.', default: 5 },
  'tasks.input': {
    description: 'What it gets: any JSON value, with expressions.',
    example: { to: '${{ input.applicant }}' },
  },
  'tasks.env': {
    description: 'Environment variables, with expressions and secrets.',
    example: { APPLICANT: '${{ input.applicant }}', TOKEN: '${{ secrets.TOKEN }}' },
  },
  'tasks.env.<name>': { description: 'Its value, as text.', example: '${{ input.applicant }}' },
  'tasks.stdin': { description: 'What the program reads from its standard input. No template.' },
  'tasks.timeout': {
    description: 'How long an attempt may take. Past it the attempt is stopped, and has failed.',
    example: '30s',
  },
  'tasks.delay': { description: 'It is due so long after its needs have ended.', example: '10m' },
  'tasks.run_at': { description: 'It is due at this time, in RFC 3339.', example: '2026-01-31T08:00:00Z' },
  'tasks.labels': {
    description: 'Names with texts by which tasks are found; at most 32.',
    example: { customer: '42' },
  },
  'tasks.labels.<name>': { description: 'Text.', example: '42' },
  'tasks.retry': {
    description: 'How often, and when, it is tried again after a failure.',
    example: { attempts: 5, backoff: 'exponential', delay: '2s', max_delay: '1m' },
  },
  'tasks.retry.attempts': { description: 'Tries in all, the first included.', default: 1, example: 5 },
  'tasks.retry.backoff': {
    description: 'How the delay grows from one try to the next.',
    default: 'exponential',
  },
  'tasks.retry.delay': { description: 'Before the second try.', default: '1s', example: '2s' },
  'tasks.retry.max_delay': { description: 'The delay grows up to this.', default: '1h', example: '1m' },
  'tasks.retry.jitter': {
    description:
      'Spreads each delay over its upper half, so that tasks that failed together do not come back together.',
    default: true,
  },
  'tasks.retry.on': {
    description: 'The failures that are tried again: those in one of its lists.',
    example: { exit_codes: [75], codes: ['timed_out'] },
  },
  'tasks.retry.on.exit_codes': { description: 'Exit codes that are tried again.', example: [75, 111] },
  'tasks.retry.on.codes': {
    description: 'Codes of errors that are tried again.',
    example: ['timed_out', 'out_of_memory'],
  },
  'tasks.retry.within': {
    description: 'Counted from the start of the first attempt: no later one is scheduled.',
    example: '10m',
  },

  'tasks.cmd': { description: "Arguments of the image's entrypoint.", example: ['echo', '-n', 'hello'] },
  'tasks.entrypoint': { description: "In place of the image's.", example: ['/bin/sh', '-c'] },
  'tasks.files': {
    description: 'Files by name, with their contents; relative names lie in the working directory.',
    example: { 'config.json': '{"debug": true}' },
  },
  'tasks.files.<name>': { description: 'Its content. No template.' },
  'tasks.workdir': { description: 'The working directory: an absolute path.', example: '/work' },
  'tasks.user': {
    description: 'Who runs in it: uid, uid:gid, or names that the image knows.',
    example: '1000',
  },
  'tasks.volumes': {
    description: 'Absolute paths, empty at first, that pre, the task and post share.',
    example: ['/tmp'],
  },
  'tasks.mounts': {
    description: 'Folders of the machine, where its worker allows them, or in memory.',
    example: [{ type: 'bind', source: '/srv/data', target: '/data', read_only: true }],
  },
  'tasks.mounts.type': { description: 'bind: a folder of the machine; tmpfs: in memory.', example: 'bind' },
  'tasks.mounts.source': { description: 'Its path on the machine.', example: '/srv/data' },
  'tasks.mounts.target': { description: 'Its path in the container.', example: '/data' },
  'tasks.mounts.read_only': { description: 'It cannot be written to.', default: false },
  'tasks.mounts.size': { description: 'How much a tmpfs may hold.', example: '64m' },
  'tasks.networks': { description: 'Networks of the container runtime to join.', example: ['backend'] },
  'tasks.limits': { description: 'What it may use at most.', example: { cpus: 0.5, memory: '512m' } },
  'tasks.limits.cpus': { description: "Of one core's time: 0.5 is half a core.", example: 0.5 },
  'tasks.limits.memory': { description: 'Memory; at least 6m.', example: '512m' },
  'tasks.limits.pids': { description: 'Processes and threads at once.', example: 100 },
  'tasks.gpus': { description: '"all", a count, or "device=…".', example: 'all' },
  'tasks.registry': {
    description: 'The login of the registry that has the image.',
    example: { username: 'ci', password: '${{ secrets.REGISTRY }}' },
  },
  'tasks.registry.username': { description: 'Its user.', example: 'ci' },
  'tasks.registry.password': {
    description: 'Its password: a secret of the worker.',
    example: '${{ secrets.REGISTRY }}',
  },
  'tasks.pull': {
    description: 'When the image is pulled: if it is missing, always, or never.',
    default: 'missing',
  },
  'tasks.pre': {
    description: 'Containers that run before it, one after the other.',
    example: [{ image: 'alpine:3.20', cmd: ['touch', '/tmp/ready'] }],
  },
  'tasks.pre.name': { description: 'Its name, for the logs.', example: 'fetch' },
  'tasks.pre.timeout': { description: 'How long it may take.', example: '30s' },
  'tasks.post': {
    description: 'Containers that run after it, one after the other.',
    example: [{ image: 'alpine:3.20', cmd: ['rm', '/tmp/ready'] }],
  },
  'tasks.post.name': { description: 'Its name, for the logs.', example: 'tidy' },
  'tasks.post.timeout': { description: 'How long it may take.', example: '30s' },
  'tasks.sidecars': {
    description: 'Containers that run beside it; all others reach them by their names.',
    example: [{ name: 'db', image: 'postgres:17', probe: { cmd: ['pg_isready'] } }],
  },
  'tasks.sidecars.name': { description: 'The host name by which it is reached.', example: 'db' },
  'tasks.sidecars.probe': {
    description: 'Ready when "cmd" in it exits with 0, or "path" at "port" answers below 400.',
    example: { port: 8080, path: '/health' },
  },
  'tasks.sidecars.probe.cmd': {
    description: 'A command in the container, and its arguments.',
    example: ['pg_isready'],
  },
  'tasks.sidecars.probe.port': { description: 'Where it answers HTTP.', example: 8080 },
  'tasks.sidecars.probe.path': { description: 'What is asked for.', default: '/', example: '/health' },
  'tasks.sidecars.probe.interval': { description: 'Between two tries.', default: '500ms' },
  'tasks.sidecars.probe.timeout': { description: 'For all of the tries together.', default: '1m' },
};

/** Its own words, or those of the key of the same meaning: in `defaults`, in parts of a container task. */
export function describeField(path: string[]): FieldWords | undefined {
  return fieldWords[keyOf(path)];
}

const places = new Map(Object.keys(fieldWords).map((key, place) => [key, place]));

/** Where it stands among the others. */
export function placeOfField(path: string[]): number {
  return places.get(keyOf(path)) ?? places.size;
}

function keyOf(path: string[]): string {
  const own = path.join('.');
  if (Object.hasOwn(fieldWords, own)) return own;
  const [first, part = '', ...rest] = path;
  if (first === 'defaults') return ['tasks', part, ...rest].join('.');
  const isPart = first === 'tasks' && ['pre', 'post', 'sidecars'].includes(part);
  return isPart ? ['tasks', ...rest].join('.') : own;
}
