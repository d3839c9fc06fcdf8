/** An expression that failed, and where. */
export class FillFailure extends Error {
  readonly details: { expression: string; place: string; values: Record<string, string> };

  constructor(reason: string, { expression, place: given, values }: FillFailure['details']) {
    // It has the keys of its input in it, which may have any length.
    const place = cut(given);
    super(`${place}: \${{ ${cut(expression)} }}: ${reason}`);
    this.name = 'FillFailure';
    this.details = { expression, place, values };
  }
}

const shownLettersMax = 300;

function cut(text: string): string {
  return text.length > shownLettersMax ? `${text.slice(0, shownLettersMax).toWellFormed()}…` : text;
}
