import { defineConfig } from 'vitest/config';

/** Layers, fastest first. What starts servers or containers runs one file at a time: two cores, and one engine. */
const layer = (
  name: string,
  include: readonly string[],
  options: { readonly timeoutMs: number; readonly parallel: boolean; readonly env?: Record<string, string> },
) => ({
  test: {
    name,
    include: [...include],
    environment: 'node',
    pool: 'forks' as const,
    testTimeout: options.timeoutMs,
    hookTimeout: 120_000,
    fileParallelism: options.parallel,
    sequence: { groupOrder: ORDER.indexOf(name) },
    ...(options.env === undefined ? {} : { env: options.env }),
  },
});

const ORDER = ['unit', 'workflows', 'cli', 'integration', 'crash', 'crash-all', 'matrix-all'];

export default defineConfig({
  test: {
    // .ci/run reads the counts from the report.
    reporters:
      process.env.CI === undefined ? ['default'] : ['default', ['json', { outputFile: 'node_modules/.holdfast/test-report.json' }]],
    projects: [
      layer('unit', ['test/unit/**/*.test.ts'], { timeoutMs: 30_000, parallel: true }),
      layer('workflows', ['test/workflows/**/*.test.ts', 'test/replay/**/*.test.ts'], { timeoutMs: 60_000, parallel: false }),
      layer('cli', ['test/cli/**/*.test.ts'], { timeoutMs: 120_000, parallel: false }),
      layer('integration', ['test/integration/**/*.test.ts'], { timeoutMs: 180_000, parallel: false }),
      layer('crash', ['test/crash/**/*.test.ts'], { timeoutMs: 300_000, parallel: false }),
      layer('crash-all', ['test/crash/**/*.test.ts'], { timeoutMs: 900_000, parallel: false, env: { TEST_ALL: 'true' } }),
      layer('matrix-all', ['test/integration/matrix.test.ts'], { timeoutMs: 900_000, parallel: false, env: { TEST_ALL: 'true' } }),
    ],
  },
});
