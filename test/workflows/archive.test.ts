import { ApplicationFailure } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ARCHIVE_FORMAT, type ArchiveDescription, archiveHandlers, type RecoveryWindow } from '../../config/archive.ts';
import { failures } from '../../config/failures.ts';
import { archiveWorkflowId, backupKeys } from '../../config/names.ts';
import type { StatusReport } from '../../config/status.ts';
import { until } from '../support/processes.ts';
import { base } from '../unit/recovery-timelines.ts';
import { type Bench, startBench, type World } from './bench.ts';

let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

const archiving = async (enabled = true) => {
  const world = bench.world({ pitr: { enabled } });
  await bench.execute(world, 'provision');
  return world;
};
const archiveOf = ({ spec }: World) => bench.client.workflow.getHandle(archiveWorkflowId(spec.name));
const stateOf = async (world: World) => (await archiveOf(world).describe()).status.name;
const archivedAre = (world: World, shards: number) => until(`${shards} shards are archived`, async () => world.archived.size === shards);

describe('the archive of a cluster', () => {
  test('begins with a spec that asks for it, follows every shard, and is shown with the status', async () => {
    const world = await archiving();
    await archivedAre(world, 3);
    await until('all have said so', async () => {
      const { archive, findings } = await bench.read<StatusReport>(world, 'status');
      return findings.length === 0 && archive?.shards.every(({ node, lagMs }) => node === 'a node' && lagMs === 0);
    });
    const { state, shards } = await archiveOf(world).query<ArchiveDescription>(archiveHandlers.describe);
    expect([state, shards.length]).toEqual(['archiving', 3]);
  });

  test('is not there when the spec does not ask for it', async () => {
    const world = await archiving(false);
    await expect(archiveOf(world).describe()).rejects.toThrow();
    expect((await bench.read<StatusReport>(world, 'status')).archive).toBeUndefined();
  });

  test('begins and ends with a changed spec', async () => {
    const world = await archiving(false);
    await bench.execute(world, 'configure', { spec: { ...world.spec, pitr: { enabled: true } } });
    await archivedAre(world, 3);
    await bench.execute(world, 'configure', { spec: { ...world.spec, pitr: { enabled: false } } });
    await archiveOf(world).result();
    expect(world.archived.size).toBe(0);
  });

  test('follows the shards that a scale adds, and those no more that it removes', async () => {
    const world = await archiving();
    await archivedAre(world, 3);
    await bench.execute(world, 'scale', { cluster: world.spec.name, shards: 4 });
    await archivedAre(world, 4);
    await bench.execute(world, 'scale', { cluster: world.spec.name, shards: 3 });
    await until('the last is gone', async () => world.archived.size === 3 && !world.archived.has(3));
  });

  test('ends with the cluster, before its nodes go, and leaves an end for everybody to see', async () => {
    const world = await archiving();
    await archivedAre(world, 3);
    const id = '20261121T091700Z-00000000';
    const begin = {
      format: ARCHIVE_FORMAT,
      id,
      cluster: world.spec.name,
      clusterId: '00000000-0000-4000-8000-000000000000',
      shard: 0,
      base: {
        ...base(0).data,
        key: backupKeys.base(world.spec.name, 0, id, '00000000'),
        object: {
          ...base(0).data.object,
          id: '0'.repeat(32),
          kek: '000001-0123456789abcdef',
          plainSha256: '0'.repeat(64),
          storedSha256: '0'.repeat(64),
        },
      },
      because: 'first',
      began: '2026-11-21T09:17:00.000Z',
    };
    await bench.put(begin.base.key, 'sealed');
    await bench.put(backupKeys.begin(world.spec.name, 0, id), JSON.stringify(begin));
    let archivedThen: number | undefined;
    world.before('removeNode', () => {
      archivedThen ??= world.archived.size;
    });
    await bench.execute(world, 'deprovision');
    expect([archivedThen, await stateOf(world)]).toEqual([0, 'COMPLETED']);
    expect(await bench.objects(backupKeys.timelines(world.spec.name, 0))).toContainEqual(expect.stringMatching(/\.end\.json$/));
    const window = await bench.read<RecoveryWindow>(world, 'recoveryWindow');
    expect(window).toMatchObject({ spans: [], shards: [{ shard: 0, gaps: [{ why: expect.stringContaining('removed') }] }] });
  });

  test('goes on with the others when one shard fails for good, and says why', async () => {
    const world = bench.world({ pitr: { enabled: true } });
    world.before('archiveShard', ([request]) => {
      if ((request as { shard: number }).shard === 1)
        throw ApplicationFailure.nonRetryable('the user may not follow', failures.engineRefused);
    });
    await bench.execute(world, 'provision');
    await archivedAre(world, 2);
    await until('it is told', async () => {
      const { shards } = await archiveOf(world).query<ArchiveDescription>(archiveHandlers.describe);
      return shards[1]?.problem === 'the user may not follow';
    });
  });
});
