import type { WriteStream } from 'node:tty';
import { createLogUpdate } from 'log-update';
import { paintFor } from '../paint.ts';
import { type Canvas, drawProgress } from './draw.ts';
import type { Progress } from './progress.ts';
import type { View } from './view.ts';

/** Times run on between two looks. */
const redrawEveryMs = 100;

/** For a terminal: the process as a list of its tasks, redrawn in place; what is said stands above it. */
export function createLiveView(stream: WriteStream, { ownQueues }: Pick<Canvas, 'ownQueues'>): View {
  const log = createLogUpdate(stream);
  const paint = paintFor(stream);
  let latest: { progress: Progress; lookedAt: number } | null = null;
  let linesDrawn = 0;

  function draw() {
    if (latest === null) return;
    const { progress, lookedAt } = latest;
    const lines = drawProgress(progress, {
      columns: stream.columns - 1,
      rows: stream.rows,
      paint,
      ownQueues,
      nowMs: progress.at + performance.now() - lookedAt,
    });
    // Between two frames of different height log-update 7.2 loses lines.
    if (lines.length !== linesDrawn) clear();
    linesDrawn = lines.length;
    log(lines.join('\n'));
  }

  function clear() {
    if (linesDrawn > 0) log.clear();
    linesDrawn = 0;
  }

  const timer = setInterval(draw, redrawEveryMs);
  return {
    say(text) {
      clear();
      // Not through log-update, which breaks long lines: a command in it shall be copied whole.
      stream.write(`${text}\n`);
      draw();
    },
    update(progress) {
      latest = { progress, lookedAt: performance.now() };
      draw();
    },
    close() {
      clearInterval(timer);
      draw();
      latest = null;
      linesDrawn = 0;
      log.done();
    },
  };
}
