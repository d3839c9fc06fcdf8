import { defineConfig } from 'drizzle-kit';

/** `npx drizzle-kit generate` compares src/database/schema.ts with drizzle/ and writes the next migration. */
export default defineConfig({
  dialect: 'postgresql',
  schema: './src/database/schema.ts',
  out: './drizzle',
  schemaFilter: ['skipjack'],
});
