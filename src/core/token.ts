/**
 * A token is a claim as it travels to workers: opaque text that every later word about the attempt carries.
 *
 * It holds the task's id, the claim number, and of a process's task the process: whoever settles it locks that
 * first. The id is there so that the token of one task is never taken for another's; the number is the fence. It
 * is no secret: who may speak at all is for API keys to say.
 */
export interface Claim {
  taskId: string;
  claimNo: number;
  processId: string | null;
}

export function encodeToken({ taskId, claimNo, processId }: Claim): string {
  const bytes = Buffer.alloc(processId === null ? 20 : 36);
  bytes.write(taskId.replaceAll('-', ''), 0, 'hex');
  bytes.writeUInt32BE(claimNo, 16);
  if (processId !== null) bytes.write(processId.replaceAll('-', ''), 20, 'hex');
  return bytes.toString('base64url');
}

/** Whether it looks like a token, of whatever task. */
export function isToken(token: string): boolean {
  return /^([\w-]{27}|[\w-]{48})$/.test(token);
}

/** The claim that `token` stands for, or null if it is not a token of this task. */
export function decodeToken(token: string, taskId: string): Claim | null {
  if (!isToken(token)) return null;
  const bytes = Buffer.from(token, 'base64url');
  if (bytes.length !== 20 && bytes.length !== 36) return null;
  if (bytes.toString('hex', 0, 16) !== taskId.replaceAll('-', '').toLowerCase()) return null;
  const claimNo = bytes.readUInt32BE(16);
  if (claimNo > 2_147_483_647) return null;
  return { taskId, claimNo, processId: bytes.length === 36 ? toUuid(bytes.toString('hex', 20)) : null };
}

function toUuid(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
