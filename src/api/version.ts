import { readFileSync } from 'node:fs';

/** Of the package: `package.json` lies two folders above, in a checkout and in `dist/` alike. */
export const version: string = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
).version;
