/** What one check of `skipjack doctor` found. */
export interface Check {
  check: string;
  /** `note`: worth knowing, nothing wrong. */
  status: 'ok' | 'note' | 'wrong';
  detail: string;
}

export const ok = (check: string, detail: string): Check => ({ check, status: 'ok', detail });
export const note = (check: string, detail: string): Check => ({ check, status: 'note', detail });
export const wrong = (check: string, detail: string): Check => ({ check, status: 'wrong', detail });
