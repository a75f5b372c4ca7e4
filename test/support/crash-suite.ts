import { afterAll, expect, test } from 'vitest';
import { type Disturbed, endStacks, type Survivor, throughPoints } from './crash-harness.ts';

/** `npm run test:crash`: everything, and not the sample that a normal run takes. */
export const all = process.env.TEST_ALL === 'true';

/** Clusters that are worked on at once, each with a Temporal server of its own. */
const LANES = 3;

/** One test: disturbed at every point, the operation ends as it should; a normal run takes the sample, and so does one of which only `these` points are new. */
export function testPoints<S extends Survivor>(
  title: string,
  survivor: S,
  disturb: Disturbed<S>,
  sample: readonly string[],
  which: 'all' | 'these' = all ? 'all' : 'these',
): void {
  afterAll(endStacks); // when it runs out of time
  test(title, { timeout: all ? 3_600_000 : 300_000 }, async () => {
    const chosen = which === 'all' ? 'all' : sample;
    const lanes = which === 'all' ? LANES : Math.min(LANES, sample.length);
    const survivals = await throughPoints(survivor, { disturb, chosen, lanes }).finally(endStacks);
    expect(survivals.filter(({ problem }) => problem !== undefined)).toEqual([]);
    expect(survivals.length).toBeGreaterThanOrEqual(sample.length);
  });
}
