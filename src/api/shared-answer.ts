/**
 * One answer for all who ask while it is being made, and for some time after. A failure is nobody's answer but
 * of those who waited for it.
 */
export function createSharedAnswer<Answer>(
  make: () => Promise<Answer>,
  { freshMs }: { freshMs: number },
): () => Promise<Answer> {
  let answer: Promise<Answer> | null = null;
  let freshUntil = 0;
  return () => {
    if (answer && performance.now() < freshUntil) return answer;
    const making = make();
    answer = making;
    freshUntil = Number.POSITIVE_INFINITY;
    making.then(
      () => {
        freshUntil = performance.now() + freshMs;
      },
      () => {
        answer = null;
      },
    );
    return making;
  };
}
