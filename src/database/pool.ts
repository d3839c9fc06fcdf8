import pg from 'pg';

/** A caller has waited in vain for one of the pool's connections: all are there, and others have them. */
export class ConnectionsBusy extends Error {
  override name = 'ConnectionsBusy';
}

/** As pg-pool says it, whether its connections are lent or cannot be made. */
const waitedInVain = 'timeout exceeded when trying to connect';

/** A pool that tells apart why it had no connection to give: the database cannot be reached, or all are lent. */
export class ConnectionPool extends pg.Pool {
  #connected = 0;

  constructor(options: pg.PoolConfig) {
    super(options);
    const mine = new WeakSet<object>();
    this.on('connect', (client) => {
      mine.add(client);
      this.#connected += 1;
    });
    // Also said of those that never came to be connected.
    this.on('remove', (client) => {
      if (mine.delete(client)) this.#connected -= 1;
    });
  }

  override connect(): Promise<pg.PoolClient>;
  override connect(
    callback: (
      error: Error | undefined,
      client: pg.PoolClient | undefined,
      done: (release?: unknown) => void,
    ) => void,
  ): void;
  override connect(
    callback?: (
      error: Error | undefined,
      client: pg.PoolClient | undefined,
      done: (release?: unknown) => void,
    ) => void,
  ): Promise<pg.PoolClient> | undefined {
    if (callback) {
      super.connect((error, client, done) => callback(error && this.#explain(error), client, done));
      return undefined;
    }
    return super.connect().catch((error) => {
      throw this.#explain(error);
    });
  }

  #explain(error: Error): Error {
    if (error.message !== waitedInVain || this.#connected < (this.options.max ?? 0)) return error;
    return new ConnectionsBusy(
      `Others have all ${this.#connected} connections to the database: ${waitedInVain}`,
      { cause: error },
    );
  }
}
