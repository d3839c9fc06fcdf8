/**
 * A token is a claim as it travels to workers: opaque text that every later word about the attempt carries.
 *
 * It holds the task's id and the claim number. The id is there so that the token of one task is never taken
 * for another's; the number is the fence. It is no secret: who may speak at all is for API keys to say.
 */
export function encodeToken(claim: { taskId: string; claimNo: number }): string {
  const bytes = Buffer.alloc(20);
  bytes.write(claim.taskId.replaceAll('-', ''), 0, 'hex');
  bytes.writeUInt32BE(claim.claimNo, 16);
  return bytes.toString('base64url');
}

/** The claim number in `token`, or null if it is not a token of this task. */
export function decodeToken(token: string, taskId: string): number | null {
  if (!/^[\w-]{27}$/.test(token)) return null;
  const bytes = Buffer.from(token, 'base64url');
  if (bytes.length !== 20) return null;
  if (bytes.toString('hex', 0, 16) !== taskId.replaceAll('-', '').toLowerCase()) return null;
  const claimNo = bytes.readUInt32BE(16);
  return claimNo <= 2_147_483_647 ? claimNo : null;
}
