/** Sizes as people write them: `512m`, `2g`. As the container runtimes do, k is 1024. */

const bytesPattern = /^(\d{1,15})(?:\.(\d{1,3}))?\s?([kmgt]?)(?:i?b)?$/i;

const factors: Record<string, number> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/** Null: it is not a size. */
export function parseBytes(text: string): number | null {
  const match = bytesPattern.exec(text);
  if (match === null) return null;
  const [, whole, fraction = '0', unit = ''] = match;
  const bytes = Math.round(Number(`${whole}.${fraction}`) * (factors[unit.toLowerCase()] ?? 1));
  return Number.isSafeInteger(bytes) ? bytes : null;
}
