import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { masterKeyId, parseMasterKeys } from '../../activities/secrets/master-keys.ts';
import { failures } from '../../config/failures.ts';
import type { KeyReport } from '../../config/keys.ts';
import type { OperationResult } from '../../config/progress.ts';
import { piped } from '../cli/piped.ts';
import { sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { type Running, until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { asApplication, ask, refusal } from './ask.ts';

const cluster = uniqueName();
const KEYS = 100;
const fresh = randomBytes(32);
let stack: Stack;
let worker: Running;

beforeAll(async () => {
  stack = await startStack({ withWorker: false });
  worker = stack.startWorker();
});
afterAll(async () => {
  await sweep(stack.dependencies.docker, cluster);
  await stack.stop();
});

const base64 = (keys: readonly Uint8Array[]) => keys.map((key) => Buffer.from(key).toString('base64')).join(',');
/** All workers end, and one begins that has these. */
async function workerWith(...keys: readonly Uint8Array[]): Promise<void> {
  await worker.kill('SIGTERM');
  worker = stack.startWorker({ env: { HOLDFAST_MASTER_KEY: base64(keys) } });
}
const keys = () => ask<KeyReport>(stack, 'listKeys', {});
const verify = () => ask<OperationResult>(stack, 'verifyBackup', { cluster, backup: 'latest' });

/** A server has loaded the newest backup: it has the keys, and those that tell an archive the time. */
async function proven(): Promise<void> {
  const { backup } = await verify();
  expect(backup?.verified).toBe(true);
  expect(backup?.keys).toBeGreaterThan(KEYS);
}

test('a cluster whose master key is changed has its passwords, its backups and its archive, and no use for the former one', {
  timeout: 240_000,
}, async () => {
  await ask(stack, 'provision', { spec: testSpec(cluster, { replicasPerShard: 0, pitr: { enabled: true, rpoSeconds: 1 } }) });
  await asApplication(stack, cluster, async (app) => {
    for (let i = 0; i < KEYS; i++) await app.set(`key:${i}`, i);
  });
  await ask(stack, 'backup', { cluster, fromPrimary: true });
  const [former] = parseMasterKeys(stack.env.HOLDFAST_MASTER_KEY ?? '');
  const [before] = (await keys()).clusters;
  expect(before).toMatchObject({ cluster, secrets: masterKeyId(former), keys: [{ under: [masterKeyId(former)] }] });

  await workerWith(fresh, former);
  const env = { ...stack.env, HOLDFAST_MASTER_KEY: base64([fresh, former]) };
  expect(await piped(['keys', 'list'], { env })).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(`next: holdfast keys rotate ${cluster}`),
  });
  const rotated = await piped(['keys', 'rotate', cluster, '--yes'], { env });
  expect(rotated).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(`a new key, and 1 key and the secrets under master key ${masterKeyId(fresh)}`),
  });
  expect((await piped(['keys', 'list'], { env })).stdout).not.toContain('next:');
  const [after] = (await keys()).clusters;
  expect(after).toMatchObject({
    secrets: masterKeyId(fresh),
    keys: [{ id: before?.keys[0]?.id, under: [masterKeyId(fresh)] }, { under: [masterKeyId(fresh)] }],
  });

  await workerWith(fresh);
  await proven(); // sealed before
  await ask(stack, 'backup', { cluster, fromPrimary: true });
  await proven(); // sealed under the new key
  const at = new Date().toISOString();
  await until('it is archived', async () => (await window()).latest !== undefined && ((await window()).latest ?? '') > at, 60_000);
  expect(await ask<OperationResult>(stack, 'drill', { cluster })).toMatchObject({ outcome: 'done' });

  await workerWith(former);
  expect(await refusal(verify())).toMatchObject({ type: failures.wrongMasterKey, message: expect.stringContaining(masterKeyId(fresh)) });
});

const window = () => ask<{ readonly latest?: string }>(stack, 'recoveryWindow', { cluster });
