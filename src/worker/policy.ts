/**
 * What a worker allows the tasks that it runs: its own configuration, which no task can widen. Everything has a
 * default that is safe where tasks come from people who are trusted to run commands at all.
 */

export interface WorkerPolicy {
  commands: CommandPolicy;
  containers: ContainerPolicy;
  /** A folder with a file for each secret, looked into before the environment (`SKIPJACK_SECRET_NAME`). */
  secretsDir: string | null;
  /** Kept of what one attempt says, in bytes of text. */
  logBytesMax: number;
}

export interface CommandPolicy {
  /** The executables that tasks may name: absolute paths, or names looked up on the PATH. Null: any. */
  allow: string[] | null;
  /** Whether scripts (`run`) may run; with a list in `allow` only if this is said too. */
  scripts: boolean;
  /** Where programs run; null: where the worker does. */
  workdir: string | null;
  /** Names of variables of the worker's environment that programs see, beside PATH, HOME and the like. */
  env: string[];
  /** Whom programs run as; null: whom the worker runs as. */
  uid: number | null;
  gid: number | null;
}

export interface ContainerPolicy {
  /** `docker`, `podman` or the path of one of them; null: the first that answers. */
  runtime: string | null;
  /** Images that tasks may name, `*` standing for any text; null: any. */
  images: string[] | null;
  /** Folders and files of this machine that tasks may mount, with what is in them; `:ro` behind one: only to read. */
  mounts: string[];
  /** Networks that tasks may name, beside `none`. */
  networks: string[];
  /** What a container gets that asks for nothing, and at most if it asks. Null: no bound. */
  limits: { cpus: number | null; memoryBytes: number | null; pids: number };
  gpus: boolean;
  /** Linux capabilities that containers keep; all others are dropped. */
  capabilities: string[];
}

export const defaultPolicy: WorkerPolicy = {
  commands: { allow: null, scripts: true, workdir: null, env: [], uid: null, gid: null },
  containers: {
    runtime: null,
    images: null,
    mounts: [],
    networks: [],
    limits: { cpus: null, memoryBytes: null, pids: 1_024 },
    gpus: false,
    capabilities: [],
  },
  secretsDir: null,
  logBytesMax: 4 * 1024 * 1024,
};
