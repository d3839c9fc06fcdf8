/**
 * A part's environment on its way through the command line, where `ps` shows nothing of it.
 *
 * Most values go by a file that only the worker's user can read. A file has one line for each, so that a value of
 * several lines, or a very long one, goes by the environment of the command line itself (`--env NAME`), but only if
 * its name means nothing there: `LD_PRELOAD` set for the command line would be the task's code in the worker's hands.
 */
import { invalid } from './errors.ts';

export interface SplitEnvironment {
  /** Text of the file; null: there is nothing for it. */
  file: string | null;
  /** For the environment of the command line. */
  env: Record<string, string>;
}

/** docker reads lines of at most 64 KiB. */
const lineBytesMax = 60_000;
/** Linux gives no program a longer one. */
const valueBytesMax = 128 * 1024 - 1_024;

/** Names that the command lines, what they are written in, or a shell around them may listen to. */
const heardPattern =
  /^(PATH|HOME|USER|LOGNAME|SHELL|PWD|ENV|IFS|TZ|TERM|LANG|LANGUAGE|TMP|TEMP|TMPDIR|CDPATH|COLUMNS|LINES|HOSTALIASES|LOCALDOMAIN|NOTIFY_SOCKET|(HTTP|HTTPS|FTP|ALL|NO)_PROXY|PS\d)$|^(LD|DYLD|GLIBC|MALLOC|GCONV|LOCPATH|NLSPATH|RES|LC|XDG|SSH|SSL|GO|CGO|DOCKER|COMPOSE|BUILDKIT|BUILDX|MOBY|CONTAINER|_CONTAINER|PODMAN|BUILDAH|STORAGE|REGISTRY|REGISTRIES|IMAGE|OTEL|GRPC|DBUS|LISTEN|AWS|AZURE|GOOGLE|GCP|CREDENTIAL|BASH|SHELLOPTS|PROMPT|ZDOTDIR|PYTHON|PERL|RUBY|NODE|JAVA|_JAVA|JDK)/i;

/** `own` are the task's variables, `ours` those that we add: they win, and their names are known to be harmless. */
export function splitEnvironment(
  own: Record<string, string>,
  ours: Record<string, string>,
): SplitEnvironment {
  const lines: string[] = [];
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(own)) {
    if (Object.hasOwn(ours, name)) continue;
    const shown = JSON.stringify(name);
    if (!/^[^\s=#"'][^\s=\0]*$/.test(name)) throw invalid(`env: ${shown} is not the name of a variable`);
    if (value.includes('\0')) throw invalid(`env: the value of ${shown} has a NUL character`);
    const line = `${name}=${value}`;
    if (!/[\n\r]/.test(value) && Buffer.byteLength(line) <= lineBytesMax) {
      lines.push(line);
      continue;
    }
    if (!/^[a-z_]\w*$/i.test(name) || heardPattern.test(name))
      throw invalid(
        `env: a value of several lines, or of more than ${lineBytesMax} bytes, cannot be given to ${shown}; put it into "files" or choose another name`,
      );
    if (Buffer.byteLength(value) > valueBytesMax)
      throw invalid(`env: the value of ${shown} is longer than ${valueBytesMax} bytes; put it into "files"`);
    env[name] = value;
  }
  return { file: lines.length === 0 ? null : `${lines.join('\n')}\n`, env: { ...env, ...ours } };
}
