import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { residentMib } from '../../bench/measure.ts';
import type { BackupManifest } from '../../config/backup.ts';
import type { OperationResult } from '../../config/progress.ts';
import { asApplication, ask } from '../integration/ask.ts';
import { nothingLeft } from '../integration/backup-remains.ts';
import { sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { type Stack, startStack } from '../support/stack.ts';

/** `npm run test:matrix`: all keys lie in one shard, the others are empty. */
const MIB = 1024 ** 2;
const LARGE_MIB = 300;
const SMALL_KEYS = 1_000_000;
/** Less than half of the large key: whoever held it whole would need more. */
const MOST_GROWTH_MIB = 140;
const cluster = uniqueName();
let stack: Stack;

describe('a cluster with one full shard and two empty ones', () => {
  beforeAll(async () => {
    stack = await startStack({ withWorker: false });
  });
  afterAll(async () => {
    await sweep(stack.dependencies.docker, cluster);
    await stack.stop();
  });

  test('is backed up and loaded: a key of 300 MB, a million small ones, and nothing; with a bounded memory of the worker', {
    timeout: 600_000,
  }, async () => {
    const worker = stack.startWorker();
    await ask(stack, 'provision', { spec: testSpec(cluster, { replicasPerShard: 0, resources: { memory: '1200Mi' } }) });
    await asApplication(stack, cluster, async (app) => {
      const piece = randomBytes(MIB);
      // From its end: it gets its whole room at once, and none that it has outgrown counts against the container until the allocator gives it back.
      for (let i = LARGE_MIB - 1; i >= 0; i--) await app.setrange('{full}large', i * MIB, piece);
      for (let at = 0; at < SMALL_KEYS; at += 5000) {
        const batch = app.pipeline();
        for (let i = at; i < at + 5000; i++) batch.set(`{full}${i}`, 'small');
        await batch.exec();
      }
    });
    const before = residentMib(worker.pid);
    let most = before;
    const sampling = setInterval(() => {
      most = Math.max(most, residentMib(worker.pid));
    }, 50);
    const result = await ask<OperationResult>(stack, 'backup', { cluster, fromPrimary: true });
    clearInterval(sampling);
    process.stdout.write(
      `  ${JSON.stringify(result.backup)}; the worker had ${before.toFixed(0)} MiB, and ${most.toFixed(0)} at its peak\n`,
    );
    expect(result).toMatchObject({ outcome: 'done', backup: { keys: SMALL_KEYS + 1, verified: true } });
    const { shards, verified } = await ask<BackupManifest>(stack, 'showBackup', { cluster, backup: 'latest' });
    expect(shards.map(({ keys }) => keys).toSorted((a, b) => a - b)).toEqual([0, 0, SMALL_KEYS + 1]);
    expect(verified?.shards.map(({ keys }) => keys)).toEqual(shards.map(({ keys }) => keys));
    expect(most - before).toBeLessThan(MOST_GROWTH_MIB);
    expect(await ask(stack, 'verifyBackup', { cluster, backup: 'latest' })).toMatchObject({ backup: { verified: true } });
    await nothingLeft(stack, cluster);
  });
});
