/** Whether a number is kept as it was written. */

/**
 * Fractions may lose digits that nobody counts on; of a whole part beyond 2^53 each digit may be part of an id. True
 * if what `value` will be written as, wherever it goes as JSON, is the number that `source` is.
 */
export function isExact(source: string, value: number): boolean {
  if (Math.abs(value) <= Number.MAX_SAFE_INTEGER) return true;
  if (/^0[xo]/.test(source)) return BigInt(source) === BigInt(value);
  return toDecimal(source) === toDecimal(String(value));
}

/** `digits e exponent`, without zeros on either side: `1.50e3` is `15e2`. */
function toDecimal(text: string): string {
  const [mantissa = '', exponent = '0'] = text.toLowerCase().replace(/^[-+]/, '').split('e');
  const [whole = '', fraction = ''] = mantissa.split('.');
  const digits = (whole + fraction).replace(/^0+/, '');
  const significant = digits.length - trailingZeros(digits);
  return `${digits.slice(0, significant)}e${Number(exponent) - fraction.length + digits.length - significant}`;
}

/** Not by /0+$/, which looks at every run of zeros from each of its places. */
function trailingZeros(digits: string): number {
  let count = 0;
  while (digits[digits.length - 1 - count] === '0') count += 1;
  return count;
}
