/** What we need of a logger; pino's fits. */
export interface Logger {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
}

export const silentLogger: Logger = { info() {}, warn() {} };
