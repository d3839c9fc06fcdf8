/** A word as one would write it in a shell. @example shellWord("it's") // 'it'\''s' */
export function shellWord(word: string): string {
  return /^[\w%+,./:=@-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
