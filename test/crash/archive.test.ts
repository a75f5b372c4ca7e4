import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ArchiveScene, archiveScene, type Disturbance, disturbancesOf } from '../support/crash-archive.ts';
import { beginStack, endStacks } from '../support/crash-harness.ts';
import { all } from '../support/crash-suite.ts';

// One cluster, written to all the time; what is done to its archive comes one after the other.
let scene: ArchiveScene;
beforeAll(async () => {
  scene = await archiveScene(await beginStack());
  await scene.goesOn();
}, 300_000);
afterAll(async () => {
  await scene?.stop();
  await endStacks();
});

/** The beginning of a timeline comes late, from an attempt that stood still and does not know that it was given up. */
const SAMPLE = 'begin late, frozen';
/** `DISTURBED=late` takes those whose name has the word. */
const chosen = ({ name }: Disturbance) => (all ? name.includes(process.env.DISTURBED ?? '') : name === SAMPLE);

test('an archive is whole, and nothing lies beside it, when its worker is killed or given up, when Temporal or the store are away, and when a rotation runs', {
  timeout: all ? 3_600_000 : 300_000,
}, async () => {
  const problems: string[] = [];
  let count = 0;
  for (const { name, run } of disturbancesOf(scene).filter(chosen)) {
    const startedAt = Date.now();
    const problem = await run().then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    process.stdout.write(
      `  archive: ${name.padEnd(36)} ${((Date.now() - startedAt) / 1000).toFixed(1).padStart(5)} s  ${problem ?? 'survived'}\n`,
    );
    if (problem !== undefined) problems.push(`${name}: ${problem}`);
    count++;
  }
  expect(problems).toEqual([]);
  expect(count).toBeGreaterThan(0);
});
