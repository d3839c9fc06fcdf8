/** "Did you mean …?" */
import leven from 'leven';

/** So many cells of the distance's table take a tenth of a second; a hostile definition asks for millions. */
const cellsMax = 50_000_000;

/** Finds the nearest of the candidates, as long as its patience lasts. */
export class Suggester {
  #cells = cellsMax;

  nearest(word: string, candidates: Iterable<string>): string | undefined {
    let distance = farthest(word) + 1;
    let nearest: string | undefined;
    for (const candidate of candidates) {
      if (candidate === word || Math.abs(candidate.length - word.length) >= distance) continue;
      this.#cells -= candidate.length * word.length;
      if (this.#cells < 0) return nearest;
      const found = leven(word.toLowerCase(), candidate.toLowerCase(), { maxDistance: distance });
      if (found >= distance) continue;
      distance = found;
      nearest = candidate;
    }
    return nearest;
  }
}

/** Three typing mistakes in a name, two in a word, one in a short one: what is farther is another word. */
function farthest({ length }: string): number {
  if (length < 2) return 0;
  if (length < 4) return 1;
  return length < 6 ? 2 : 3;
}
