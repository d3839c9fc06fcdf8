/** A claim as a map's key: one call may speak of two claims of one task, a stale one and the one that holds. */
export function claimKey(taskId: string, claimNo: number): string {
  return `${taskId.toLowerCase()} ${claimNo}`;
}
