/** Puts stars where a search finds something. */
import type { FormSearch, Places } from './search.ts';

const stars = '***';
const starBytes = Buffer.from(stars);

export function hiddenText(search: FormSearch, text: string): string {
  const bytes = Buffer.from(text);
  const places: Places = [];
  search.read(bytes, 0, 0, places);
  if (places.length === 0) return text;
  let shown = '';
  let shownTo = 0;
  // Forms are whole characters, so that what is between them is too.
  for (let index = 0; index < places.length; index += 2) {
    shown += bytes.toString('utf8', shownTo, places[index]) + stars;
    shownTo = places[index + 1] as number;
  }
  return shown + bytes.toString('utf8', shownTo);
}

/** A stream of bytes. All positions are counted from its beginning. */
export class HiddenBytes {
  readonly #search: FormSearch;
  #state = 0;
  #readTo = 0;
  #shownTo = 0;
  /** Found, and not or not wholly shown. */
  #places: Places = [];
  /** What was shown last is stars: what touches them needs no others. */
  #endsInStars = false;

  constructor(search: FormSearch) {
    this.#search = search;
  }

  push(chunk: Buffer): Buffer {
    const held = this.#search.pending(this.#state);
    this.#state = this.#search.read(chunk, this.#state, this.#readTo, this.#places);
    this.#readTo += chunk.length;
    return this.#show(held, chunk, this.#readTo - this.#search.pending(this.#state).length);
  }

  end(): Buffer {
    const held = this.#search.pending(this.#state);
    this.#state = 0;
    return this.#show(held, starBytes.subarray(0, 0), this.#readTo);
  }

  /** Shows up to `to`: the bytes held before and those of the chunk, in this order. */
  #show(held: Buffer, chunk: Buffer, to: number): Buffer {
    const from = this.#shownTo;
    const parts: Buffer[] = [];
    const showBytes = (start: number, end: number) => {
      if (start === end) return;
      const chunkStart = from + held.length;
      if (start < chunkStart) parts.push(held.subarray(start - from, end - from));
      if (end > chunkStart) parts.push(chunk.subarray(Math.max(0, start - chunkStart), end - chunkStart));
      this.#endsInStars = false;
    };
    const places = this.#places;
    let shownTo = from;
    let index = 0;
    for (; index < places.length && (places[index] as number) < to; index += 2) {
      showBytes(shownTo, places[index] as number);
      if (!this.#endsInStars) parts.push(starBytes);
      this.#endsInStars = true;
      shownTo = Math.min(to, places[index + 1] as number);
    }
    showBytes(shownTo, to);
    this.#shownTo = to;
    const last = places[index - 1];
    this.#places =
      index > 0 && (last as number) > to ? [to, last as number, ...places.slice(index)] : places.slice(index);
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  }
}
