import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BackupManifest, BackupSummary } from '../../config/backup.ts';
import type { OperationResult } from '../../config/progress.ts';
import { sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { LIBRARY, writeStaticData } from '../support/static-data.ts';
import { asApplication, ask } from './ask.ts';

let stack: Stack;
const cluster = uniqueName();
beforeAll(async () => {
  stack = await startStack();
  await ask(stack, 'provision', { spec: testSpec(cluster, { engine: 'redis', version: '7.0' }) });
});
afterAll(async () => {
  await sweep(stack.dependencies.docker, cluster);
  await stack.stop();
});

test('x', async () => {
  await asApplication(stack, cluster, writeStaticData);
  console.time('b');
  const result = await ask<OperationResult>(stack, 'backup', { cluster }).catch((e) => {
    console.log(JSON.stringify(e, null, 1), e, stack.workerLog().slice(-3000));
    throw e;
  });
  console.timeEnd('b');
  console.log(JSON.stringify(result, null, 1));
  console.log(JSON.stringify(await ask<readonly BackupSummary[]>(stack, 'listBackups', { cluster }), null, 1));
  console.log(JSON.stringify(await ask<BackupManifest>(stack, 'showBackup', { cluster, backup: result.backup?.id }), null, 1));
});
