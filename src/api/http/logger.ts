/** What we need of a logger; pino's has it. */
export interface ApiLogger {
  debug(about: object, message: string): void;
  warn(about: object, message: string): void;
  error(about: object, message: string): void;
}

export const silentLogger: ApiLogger = { debug() {}, warn() {}, error() {} };
