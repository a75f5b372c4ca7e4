import { expect, test } from 'vitest';
import { type Survivor, surviveCrashes } from './crash-harness.ts';

/** `npm run test:crash`: everything, and not the sample that a normal run takes. */
export const all = process.env.HOLDFAST_TEST_ALL === 'true';

/** Clusters that are worked on at once, each with a Temporal server of its own. */
const LANES = 2;

/** One test: the operation survives a crash at every point; a normal run takes the sample. */
export function testCrashes(title: string, survivor: Survivor, sample: readonly string[]): void {
  test(title, { timeout: all ? 3_600_000 : 300_000 }, async () => {
    const survivals = await surviveCrashes(survivor, { chosen: all ? 'all' : sample, lanes: LANES });
    expect(survivals.filter(({ problem }) => problem !== undefined)).toEqual([]);
    expect(survivals.length).toBeGreaterThanOrEqual(sample.length);
  });
}
