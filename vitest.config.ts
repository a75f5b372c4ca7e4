import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/**
 * Layers, fastest first. What starts servers or containers runs three files at a time: most of their time is spent waiting for servers, and each file has a Temporal,
 * a bucket and clusters of its own. The crash harness goes along several lanes by itself, and so two.
 */
const layer = (
  name: string,
  include: readonly string[],
  options: {
    readonly timeoutMs: number;
    readonly atOnce?: number;
    /** The tests of a file run side by side. */
    readonly together?: boolean;
    readonly env?: Record<string, string>;
  },
) => ({
  test: {
    name,
    include: [...include],
    environment: 'node',
    pool: 'forks' as const,
    testTimeout: options.timeoutMs,
    hookTimeout: 120_000,
    ...(options.atOnce === undefined ? {} : { maxWorkers: options.atOnce }),
    sequence: { groupOrder: ORDER.findIndex((group) => group.includes(name)), concurrent: options.together === true },
    ...(options.env === undefined ? {} : { env: options.env }),
  },
});

// A run starts hundreds of workers and commands: what Node made of the sources the first time serves them all.
process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL('node_modules/.holdfast/compiled', import.meta.url));

/** One group after the other. */
const ORDER = [['unit'], ['workflows'], ['cli', 'integration'], ['crash'], ['crash-all'], ['matrix-all']];

const SAMPLED = ['archive', 'backup-faults', 'big-keys', 'matrix', 'point-in-time', 'point-in-time-events', 'restore', 'scale', 'spread'];

export default defineConfig({
  test: {
    // .ci/run reads the counts from the report.
    reporters:
      process.env.CI === undefined ? ['default'] : ['default', ['json', { outputFile: 'node_modules/.holdfast/test-report.json' }]],
    projects: [
      layer('unit', ['test/unit/**/*.test.ts'], { timeoutMs: 30_000 }),
      layer('workflows', ['test/workflows/**/*.test.ts', 'test/replay/**/*.test.ts'], {
        timeoutMs: 60_000,
        atOnce: 2,
        together: true, // each has a cluster of its own, and waits for the server most of its time
      }),
      layer('cli', ['test/cli/**/*.test.ts'], { timeoutMs: 120_000, atOnce: 3 }),
      layer('integration', ['test/integration/**/*.test.ts'], { timeoutMs: 180_000, atOnce: 3 }),
      layer('crash', ['test/crash/*.test.ts'], { timeoutMs: 300_000, atOnce: 2 }),
      layer('crash-all', ['test/crash/**/*.test.ts'], { timeoutMs: 900_000, atOnce: 1, env: { TEST_ALL: 'true' } }),
      // All that the normal run takes a sample of, and what takes minutes by itself.
      layer('matrix-all', [`test/integration/{${SAMPLED.join(',')}}.test.ts`, 'test/long/**/*.test.ts'], {
        timeoutMs: 1_800_000,
        atOnce: 1,
        env: { TEST_ALL: 'true' },
      }),
    ],
  },
});
