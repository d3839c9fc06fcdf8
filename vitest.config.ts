import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    // Two cores: more files at once only take each other's time.
    maxWorkers: 3,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Its own second is soon over on a machine that does much else.
    expect: { poll: { timeout: 30_000 } },
  },
});
