/** Colours, where the stream shows any: on a terminal, unless NO_COLOR says otherwise. */
import type { WriteStream } from 'node:tty';
import * as colors from 'yoctocolors';

export type Paint = Record<'dim' | 'bold' | 'green' | 'red' | 'yellow' | 'cyan', (text: string) => string>;

const asIs = (text: string): string => text;
export const noPaint: Paint = { dim: asIs, bold: asIs, green: asIs, red: asIs, yellow: asIs, cyan: asIs };

export function paintFor(stream: Partial<Pick<WriteStream, 'isTTY' | 'hasColors'>>): Paint {
  // Asks NO_COLOR, FORCE_COLOR and TERM.
  return stream.isTTY && stream.hasColors?.() ? colors : noPaint;
}
