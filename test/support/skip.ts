/** For `test.skipIf`: prints why a test is skipped, if it is. */
export function because(why: string, isSo: boolean): boolean {
  if (isSo) console.warn(`skipped: ${why}`);
  return isSo;
}
