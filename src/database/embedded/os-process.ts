/**
 * OS processes that other OS processes told us about, in files that may be older than the last reboot.
 *
 * A pid alone names nobody: pids are used again, and in a container the same small ones come back at every
 * start. So a process is named by its pid and by when it began.
 */
import { readdir, readFile } from 'node:fs/promises';
import { execa } from 'execa';

export interface OsProcess {
  pid: number;
  /** When it began, comparable within one machine; empty where that cannot be read. */
  startedAt: string;
}

/** The process that has this pid now, or null. One that has ended but was not reaped counts as gone. */
export async function findOsProcess(pid: number): Promise<OsProcess | null> {
  if (!isPidInUse(pid)) return null;
  const { state, startedAt } = process.platform === 'linux' ? await readProc(pid) : await askPs(pid);
  return state.startsWith('Z') ? null : { pid, startedAt };
}

export async function isAlive({ pid, startedAt }: OsProcess): Promise<boolean> {
  const now = await findOsProcess(pid);
  if (now === null) return false;
  return startedAt === '' || now.startedAt === '' || startedAt === now.startedAt;
}

let ourselves: Promise<OsProcess> | undefined;

export function thisOsProcess(): Promise<OsProcess> {
  ourselves ??= findOsProcess(process.pid).then((found) => found ?? { pid: process.pid, startedAt: '' });
  return ourselves;
}

/** Null for text that does not name an OS process: a file that was cut short, say. */
export function parseOsProcess(text: string): OsProcess | null {
  try {
    const { pid, startedAt } = JSON.parse(text) as Partial<OsProcess>;
    return Number.isInteger(pid) && typeof startedAt === 'string' ? { pid: Number(pid), startedAt } : null;
  } catch {
    return null;
  }
}

/** Signals it if it is still the one we mean. False: it is gone, or not ours to signal. */
export async function signal(target: OsProcess, name: NodeJS.Signals): Promise<boolean> {
  if (!(await isAlive(target))) return false;
  try {
    return process.kill(target.pid, name);
  } catch {
    return false;
  }
}

/** Its arguments joined by spaces, or an empty text. Readable for every user, unlike its working directory. */
export async function readCommandLine(pid: number): Promise<string> {
  if (process.platform !== 'linux') return (await ps(['-ww', '-o', 'command=', '-p', `${pid}`])).trim();
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return text.replaceAll('\0', ' ').trim();
}

/** The pids whose command line contains `text`. */
export async function findPidsByCommandLine(text: string): Promise<number[]> {
  if (process.platform !== 'linux') {
    const lines = (await ps(['-axww', '-o', 'pid=,command='])).split('\n');
    return lines.filter((line) => line.includes(text)).map((line) => Number.parseInt(line, 10));
  }
  const pids = (await readdir('/proc')).map(Number).filter(Number.isInteger);
  const commandLines = await Promise.all(pids.map(readCommandLine));
  return pids.filter((_, index) => commandLines[index]?.includes(text));
}

/** Also true for one that has ended but was not reaped, and for those of other users. */
export function isPidInUse(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // EPERM: it belongs to another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function readProc(pid: number): Promise<{ state: string; startedAt: string }> {
  const [stat, bootId] = await Promise.all([
    readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''),
    readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => ''),
  ]);
  // The program's name is in parentheses and may hold spaces and parentheses of its own. After it come field
  // 3, the state, and the others; field 22 is the start, in ticks since the machine was booted.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = fields[19];
  return { state: fields[0] ?? '', startedAt: ticks ? `${bootId.trim()}/${ticks}` : '' };
}

async function askPs(pid: number): Promise<{ state: string; startedAt: string }> {
  const [state = '', ...startedAt] = (await ps(['-o', 'stat=,lstart=', '-p', `${pid}`])).trim().split(/\s+/);
  return { state, startedAt: startedAt.join(' ') };
}

async function ps(options: string[]): Promise<string> {
  const { stdout } = await execa('ps', options, { reject: false, env: { LC_ALL: 'C' } });
  return stdout ?? '';
}
