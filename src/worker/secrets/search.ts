/**
 * Finds every place of any of many byte strings in one pass, a chunk at a time (Aho and Corasick, "Efficient string
 * matching", 1975).
 *
 * The state after some bytes is a node of the trie of all forms: the longest end of those bytes that a form begins
 * with. So it also says what may still become a form, and which bytes those are: nothing that was read is kept.
 * A node costs 25 bytes here, with lists of children in place of tables: a secret may have 64 KiB.
 */

/** `[start, end, start, end, …]`, ascending; places that overlap or touch are one. */
export type Places = number[];

export class FormSearch {
  readonly #forms: Buffer[];
  /** Children of the root, where the search mostly is, by byte; 0: none. */
  readonly #fromRoot = new Int32Array(256);
  // Of each node: its last byte, how many bytes it has, a form that begins with it.
  readonly #byte: Uint8Array;
  readonly #depth: Int32Array;
  readonly #form: Int32Array;
  readonly #child: Int32Array;
  readonly #sibling: Int32Array;
  /** The longest proper end of it that is a node too. */
  readonly #fallback: Int32Array;
  /** The length of the longest form that ends with it; 0: none. */
  readonly #found: Int32Array;
  /** The length of its longest end from which a form may still come. */
  readonly #pending: Int32Array;

  /** `forms` are not empty. */
  constructor(forms: Buffer[]) {
    const nodesMax = 1 + forms.reduce((sum, { length }) => sum + length, 0);
    this.#forms = forms;
    this.#byte = new Uint8Array(nodesMax);
    this.#depth = new Int32Array(nodesMax);
    this.#form = new Int32Array(nodesMax);
    this.#child = new Int32Array(nodesMax);
    this.#sibling = new Int32Array(nodesMax);
    this.#fallback = new Int32Array(nodesMax);
    this.#found = new Int32Array(nodesMax);
    this.#pending = new Int32Array(nodesMax);
    this.#plant();
    this.#link();
  }

  /** Reads on from `state` (0 at first) and adds what it finds to `places`. `offset`: where `chunk` begins. */
  read(chunk: Buffer, state: number, offset: number, places: Places): number {
    const fromRoot = this.#fromRoot;
    const found = this.#found;
    const { length } = chunk;
    let node = state;
    for (let index = 0; index < length; index += 1) {
      if (node === 0) {
        while (index < length && fromRoot[chunk[index] as number] === 0) index += 1;
        if (index === length) return 0;
        node = fromRoot[chunk[index] as number] as number;
      } else {
        node = this.#step(node, chunk[index] as number);
      }
      const bytes = found[node] as number;
      if (bytes > 0) addPlace(places, offset + index + 1 - bytes, offset + index + 1);
    }
    return node;
  }

  /** The last bytes read, if a form may still come of them. */
  pending(state: number): Buffer {
    const depth = this.#depth[state] as number;
    const form = this.#forms[this.#form[state] as number] as Buffer;
    return form.subarray(depth - (this.#pending[state] as number), depth);
  }

  #step(from: number, byte: number): number {
    for (let node = from; node !== 0; node = this.#fallback[node] as number) {
      const next = this.#childOf(node, byte);
      if (next !== 0) return next;
    }
    return this.#fromRoot[byte] as number;
  }

  #childOf(node: number, byte: number): number {
    if (node === 0) return this.#fromRoot[byte] as number;
    let child = this.#child[node] as number;
    while (child !== 0 && this.#byte[child] !== byte) child = this.#sibling[child] as number;
    return child;
  }

  #plant(): void {
    let nodes = 1;
    for (const [index, form] of this.#forms.entries()) {
      let node = 0;
      for (const byte of form) {
        let next = this.#childOf(node, byte);
        if (next === 0) {
          next = nodes;
          nodes += 1;
          this.#byte[next] = byte;
          this.#depth[next] = (this.#depth[node] as number) + 1;
          this.#form[next] = index;
          this.#sibling[next] = this.#child[node] as number;
          this.#child[node] = next;
          if (node === 0) this.#fromRoot[byte] = next;
        }
        node = next;
      }
      this.#found[node] = form.length;
    }
  }

  /** Breadth first: a node's fallback is nearer to the root than itself. */
  #link(): void {
    const order = [0];
    for (const node of order) {
      for (let child = this.#child[node] as number; child !== 0; child = this.#sibling[child] as number) {
        order.push(child);
        const fallback =
          node === 0 ? 0 : this.#step(this.#fallback[node] as number, this.#byte[child] as number);
        this.#fallback[child] = fallback;
        this.#found[child] ||= this.#found[fallback] as number;
        const mayGoOn = this.#child[child] !== 0;
        this.#pending[child] = (mayGoOn ? this.#depth[child] : this.#pending[fallback]) as number;
      }
    }
  }
}

/** Places are found by their ends; a longer one may begin before others that were found earlier. */
function addPlace(places: Places, start: number, end: number): void {
  let first = start;
  while (places.length > 0 && (places.at(-1) as number) >= first) {
    places.pop();
    first = Math.min(first, places.pop() as number);
  }
  places.push(first, end);
}
