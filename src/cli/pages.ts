/** Lists come in pages; a command shows as many rows as it was asked for. */
import { Option } from 'commander';
import type { Page } from '../client/views.ts';
import { wholeNumberArgument } from './options.ts';
import { type Format, remark } from './print.ts';

const pageLengthMax = 500;

export function limitOption(byDefault = 50): Option {
  return new Option('--limit <n>', 'at most so many')
    .argParser(wholeNumberArgument('--limit', { min: 1, max: 100_000 }))
    .default(byDefault);
}

export interface Rows<Row> {
  rows: Row[];
  /** There are more than were asked for. */
  more: boolean;
}

/** Reads page after page until there are `limit` rows, or no more. */
export async function readPages<Row>(
  limit: number,
  readPage: (page: Page) => Promise<{ rows: Row[]; next_cursor: string | null }>,
): Promise<Rows<Row>> {
  const rows: Row[] = [];
  let cursor: string | undefined;
  do {
    const page = await readPage({ limit: Math.min(limit - rows.length, pageLengthMax), cursor });
    rows.push(...page.rows);
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined && rows.length < limit);
  return { rows, more: cursor !== undefined };
}

/** Programs count what they get; people are told. */
export function remarkMore(
  { more }: Rows<unknown>,
  { limit, output }: { limit: number; output: Format },
): void {
  if (more && output === 'text') remark(`There are more; --limit ${limit} was reached.`);
}
