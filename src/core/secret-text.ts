/**
 * Text with references to secrets: `Bearer ${{ secrets.API_TOKEN }}`.
 *
 * Taken apart once, by whoever serves a claim, from what the author of a task or definition wrote. The worker puts
 * the values in; nothing that it put in is read again.
 */

/** Text as it is, or its parts. */
export type SecretText = string | SecretPart[];
export type SecretPart = string | { secret: string };

/** Names of secrets are names of environment variables. */
export const secretNamePattern = /^[A-Za-z_][A-Za-z0-9_]{0,99}$/;

const reference = /\$\{\{\s*secrets\.([A-Za-z_][A-Za-z0-9_]{0,99})\s*\}\}/g;

/** Says what is wrong with the `${{` in a text, or null: references to secrets are all that it may hold. */
export function findReferenceProblem(text: string): string | null {
  return text.replaceAll(reference, '').includes('${{')
    ? 'has "${{ … }}" that is no reference to a secret (${{ secrets.NAME }}): a task on its own has no process whose values an expression could name'
    : null;
}

/** The text taken apart at its references. */
export function toSecretText(text: string): SecretText {
  if (!text.includes('${{')) return text;
  const parts: SecretPart[] = [];
  let end = 0;
  for (const match of text.matchAll(reference)) {
    if (match.index > end) parts.push(text.slice(end, match.index));
    parts.push({ secret: match[1] as string });
    end = match.index + match[0].length;
  }
  if (end === 0) return text;
  if (end < text.length) parts.push(text.slice(end));
  return parts;
}
