import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ARCHIVE_FORMAT, type TimelineBegin } from '../../config/archive.ts';
import { backupKeys } from '../../config/names.ts';
import type { OperationResult } from '../../config/progress.ts';
import { checkout } from '../../scripts/setup/home.ts';
import { asApplication, ask } from '../integration/ask.ts';
import { holdings, sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { piped } from './piped.ts';
import { holdfast, keys } from './screen.ts';

let stack: Stack;
/** It exists, and was backed up. */
const name = uniqueName('cli');
const into = uniqueName('cli');
const example = uniqueName('ex');
/** Of it there is an archive with a gap, and nothing else. */
const ghost = uniqueName('ghost');
let backup = '';

const script = (...args: readonly string[]) => piped(args, { env: stack.env });
const at = (time: string) => `2026-11-20T${time}.000Z`;

beforeAll(async () => {
  stack = await startStack();
  await ask(stack, 'provision', { spec: testSpec(name, { replicasPerShard: 0 }) });
  await asApplication(stack, name, (app) => app.set('greeting', 'hello'));
  const made = await ask<OperationResult>(stack, 'backup', { cluster: name, fromPrimary: true, verify: 'checksum' });
  backup = made.backup?.id ?? '';
  await archive('20261120T100000Z-00000001', at('10:00:00'), at('10:30:00'));
  await archive('20261120T110000Z-00000002', at('11:00:00'), at('11:30:00'));
  await stack.dependencies.store.put(backupKeys.keyCopy(ghost, `000001-${'0'.repeat(16)}`, '0'.repeat(16)), 'sealed');
});
afterAll(async () => {
  for (const one of [name, into, example]) await sweep(stack.dependencies.docker, one);
  await stack?.stop();
});

/** A timeline of one shard, of which only the names are ever read. */
async function archive(timeline: string, from: string, to: string): Promise<void> {
  const { store } = stack.dependencies;
  const replid = timeline.slice(-8).repeat(5);
  const object = {
    id: '0'.repeat(32),
    kek: `000001-${'0'.repeat(16)}`,
    plainBytes: 10,
    plainSha256: '0'.repeat(64),
    storedBytes: 10,
    storedSha256: '0'.repeat(64),
  };
  const place = {
    replid,
    offset: 100,
    slots: '',
    node: `${ghost}-0-1`,
    server: { engine: 'valkey', version: '9.1.0' } as const,
    database: 0,
  };
  const base = {
    shard: 0,
    key: backupKeys.base(ghost, 0, timeline, '00000000'),
    object,
    ...place,
    keys: 1,
    functions: 0,
    startedAt: from,
    tookMs: 1,
  };
  const because = timeline.endsWith('1') ? 'first' : 'gap';
  const begin: TimelineBegin = {
    format: ARCHIVE_FORMAT,
    id: timeline,
    cluster: ghost,
    clusterId: '11111111-1111-4111-8111-111111111111',
    shard: 0,
    base,
    because,
    began: from,
  };
  await store.put(base.key, 'sealed');
  await store.put(backupKeys.begin(ghost, 0, timeline), JSON.stringify(begin));
  const offsets = { startOffset: 100, endOffset: 200, firstMs: Date.parse(from), lastMs: Date.parse(to) };
  await store.put(backupKeys.segment({ cluster: ghost, shard: 0, timeline, ...offsets, stream: replid.slice(0, 8) }), 'sealed');
}

describe('which data', () => {
  test('of a cluster that never was: nothing is archived, there is no backup', async () => {
    const window = await script('recovery-window', 'nobody');
    expect(window).toMatchObject({
      code: 5,
      stdout: expect.stringMatching(/Nothing of nobody is archived[\s\S]*holdfast backup list nobody/),
    });
    expect(await script('restore', 'nobody', '--backup', 'latest', '--into', into)).toMatchObject({
      code: 5,
      stderr: expect.stringMatching(/BackupNotFound: .*nobody/),
    });
    expect(await script('restore', 'nobody', '--latest', '--into', into)).toMatchObject({
      code: 5,
      stderr: expect.stringContaining('there is no cluster named nobody, and nothing of one in the bucket'),
    });
    expect(await script('drill', 'nobody')).toMatchObject({ code: 5 });
  });

  test('at a moment in a gap: the message says which can be reached instead, as recovery-window does', async () => {
    const window = await script('recovery-window', ghost);
    expect(window.stdout).toMatch(/2026-11-20T10:00:00\.000Z +to +2026-11-20T10:30:00\.000Z/);
    expect(window.stdout).toMatch(/gaps\n.*\n0 .*10:30:00\.000Z .*11:00:00\.000Z /);
    for (const args of [
      ['restore', ghost, '--into', into],
      ['drill', ghost],
    ])
      expect(await script(...args, '--at', at('10:45:00'))).toMatchObject({
        code: 7,
        stderr: expect.stringMatching(
          /cannot be brought back to 2026-11-20T10:45:00.000Z[\s\S]* 2026-11-20T11:00:00.000Z to [\s\S]* 2026-11-20T10:00:00.000Z to /,
        ),
      });
  });

  test('of which cluster: without a name recovery-window has a line for each, also for one that is gone', async () => {
    const { code, stdout } = await script('recovery-window');
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`${name} +- +- +- +nothing is archived: only its backups can be restored`));
    expect(stdout).toMatch(new RegExp(`${ghost} +2026-11-20T10:00:00\\.000Z +2026-11-20T11:30:00\\.000Z +1 +the cluster is gone`));
    const all = JSON.parse((await script('recovery-window', '-o', 'json')).stdout) as unknown;
    const gaps = [{ from: at('10:30:00'), to: at('11:00:00'), why: expect.stringContaining('repl-backlog-size') }];
    expect(all).toContainEqual({ cluster: ghost, gone: true, earliest: at('10:00:00'), latest: at('11:30:00'), gaps, amiss: [] });
    expect(JSON.parse((await script('recovery-window', ghost, '-o', 'json')).stdout)).toMatchObject({ cluster: ghost, shards: [{}] });
  });

  test('said twice, or not at all, ends with 2', async () => {
    for (const which of [[], ['--backup', backup, '--at', at('10:45:00')], ['--backup', backup, '--latest']])
      expect(await script('restore', name, '--into', into, ...which)).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('say which data, by one of backup, at and latest'),
      });
  });

  test('of a pattern that no key has: it fails, and leaves nothing', async () => {
    const { code, stderr } = await script('restore', name, '--backup', backup, '--into', into, '--include', 'nothing:*', '--yes');
    expect([code, stderr]).toEqual([7, expect.stringMatching(/no key of .* matches nothing:\*.*nothing was brought back/)]);
    expect(await holdings(stack.dependencies.docker, into)).toEqual({ containers: [], volumes: [], networks: [] });
  });
});

test('the example of backups runs as it stands', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['examples/backups.ts', name, example], {
    cwd: checkout,
    env: { ...process.env, ...stack.env },
  });
  expect(stdout).toMatch(/1 keys, loaded by a server\n.* before the migration held\n/);
  expect(stdout).toMatch(/act: .*\n[\s\S]*\n1 keys\n/);
  expect(await asApplication(stack, example, (app) => app.get('greeting'))).toBe('hello');
});

describe('into what is there', () => {
  test('under another name that is taken: refused in the plan', async () => {
    const { code, stdout } = await script('restore', ghost, '--backup', backup, '--into', name, '--dry-run');
    expect([code, stdout]).toEqual([5, '']); // the backup is not one of that cluster
    const taken = await script('restore', name, '--backup', backup, '--into', name, '--include', 'greeting', '--dry-run');
    expect(taken).toMatchObject({ code: 7, stdout: expect.stringContaining('a part of the keys cannot take the place of all') });
  });

  test('a script must name the cluster, --yes is not enough', async () => {
    const { code, stderr } = await script('restore', name, '--backup', backup, '--yes');
    expect([code, stderr]).toEqual([2, expect.stringContaining(`Use --confirm ${name}`)]);
  });

  test('a person types its name after the plan; then it has its data of before, and what it had is a backup', async () => {
    await asApplication(stack, name, (app) => app.set('greeting', 'nonsense'));
    const wrong = holdfast(['restore', name, '--backup', backup], { env: stack.env });
    await wrong.shows('Type the name of the cluster', 60_000);
    expect(wrong.text()).toMatch(/refuse writes [\s\S]*stop every node .*nobody reads either/);
    wrong.type(`y${keys.enter}`);
    expect(await wrong.ended).toBe(7);
    expect(wrong.text()).toContain('That is not its name. Nothing was changed.');
    const right = holdfast(['restore', name, '--backup', backup], { env: stack.env });
    await right.shows('Type the name of the cluster', 60_000);
    right.type(`${name}${keys.enter}`);
    expect(await right.ended).toBe(0);
    expect(right.text()).toMatch(/✔ .* is healthy and has its data again[\s\S]*holdfast backup release/);
    expect(await asApplication(stack, name, (app) => app.get('greeting'))).toBe('hello');
  });
});
