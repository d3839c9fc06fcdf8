/** An expression that failed, and where. */
export class FillFailure extends Error {
  readonly details: { expression: string; place: string; values: Record<string, string> };

  constructor(reason: string, details: FillFailure['details']) {
    super(`${details.place}: \${{ ${cut(details.expression)} }}: ${reason}`);
    this.name = 'FillFailure';
    this.details = details;
  }
}

const shownLettersMax = 300;

function cut(text: string): string {
  return text.length > shownLettersMax ? `${text.slice(0, shownLettersMax).toWellFormed()}…` : text;
}
