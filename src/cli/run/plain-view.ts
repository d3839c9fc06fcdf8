import { formatClock, formatElapsed } from '../elapsed.ts';
import { remark } from '../print.ts';
import { describeChange, oneLine } from './describe.ts';
import { isOver } from './progress.ts';
import type { View } from './view.ts';

/** For a file, a pipe, a build log: one line for each change, with the time of day; nothing is ever rewritten. */
export function createPlainView(): View {
  let isBegun = false;
  return {
    say: remark,
    update(progress, changes) {
      if (!isBegun) {
        isBegun = true;
        const at = formatClock(new Date(progress.startedAt));
        remark(`${at} ${oneLine(progress.name)} started, process ${progress.id}`);
      }
      for (const change of changes) {
        const line = describeChange(change, progress.at);
        if (line !== null) remark(`${formatClock(new Date(change.at))} ${line}`);
      }
      if (isOver(progress) && progress.finishedAt !== null) {
        const took = formatElapsed(progress.finishedAt - progress.startedAt);
        remark(
          `${formatClock(new Date(progress.finishedAt))} ${oneLine(progress.name)} ${progress.state} in ${took}`,
        );
      }
    },
    close() {},
  };
}
