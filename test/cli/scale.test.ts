import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Plan } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { Holdfast, type OperationSummary } from '../../starter/client/index.ts';
import { holdings, sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { piped } from './piped.ts';
import { holdfast, keys } from './screen.ts';

/** One small cluster that grows and shifts its slots, as a person sees it; the tests follow one another. */
let stack: Stack;
let spec: string;
const name = uniqueName('grow');
const KEYS = 6;

const run = (...args: readonly string[]) => holdfast(args, { env: stack.env });
const script = (...args: readonly string[]) => piped(args, { env: stack.env });

beforeAll(async () => {
  stack = await startStack();
  spec = join(stack.folder, 'spec.json');
  writeFileSync(spec, JSON.stringify(testSpec(name, { shards: 3, replicasPerShard: 0 })));
  await until('the worker polls', () => new Holdfast(stack.client).hasWorker());
});

afterAll(async () => {
  await sweep(stack.dependencies.docker, name);
  await stack.stop();
});

async function status(): Promise<StatusReport> {
  return JSON.parse((await script('status', name, '-o', 'json')).stdout) as StatusReport;
}

async function operations(): Promise<readonly OperationSummary[]> {
  const { stdout } = await script('operations', 'list', '--cluster', name, '--dry-runs', '-o', 'json');
  return JSON.parse(stdout) as readonly OperationSummary[];
}

test('a cluster of three shards without replicas is made, and holds some keys', async () => {
  expect(await script('apply', '-f', spec, '--yes')).toMatchObject({ code: 0 });
  const screen = run('connect', name, '--exec');
  await screen.shows('6379>');
  for (let count = 1; count <= KEYS; count++) {
    screen.type(`set key:${count} value${keys.enter}`);
    await screen.shows(new RegExp(`(?:^OK$[^]*){${count}}`, 'm'));
  }
  screen.type(`exit${keys.enter}`);
  expect(await screen.ended).toBe(0);
});

describe('scale', () => {
  test('--dry-run shows the moves as a table, and changes nothing', async () => {
    const { code, stdout, stderr } = await script('scale', name, '--shards', '4', '--dry-run');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ +FROM +TO +SLOTS +KEYS +BYTES +ESTIMATE$/m);
    for (const shard of [0, 1, 2]) expect(stdout).toMatch(new RegExp(`^ +shard ${shard} +shard 3 +1,36[56] `, 'm'));
    expect(stdout).toMatch(/^ +total +3 pairs +4,096 /m);
    expect(stdout).not.toContain('RANGES');
    expect(stderr).toContain('nothing was changed');
    expect((await script('scale', name, '--shards', '4', '--dry-run', '-o', 'wide')).stdout).toMatch(/RANGES\n +shard 0 .* \d+(-\d+)?/);
    expect((await holdings(stack.dependencies.docker, name)).containers).toHaveLength(3);
  });

  test('as JSON the plan is for programs', async () => {
    const { stdout } = await script('scale', name, '--shards', '4', '--dry-run', '-o', 'json');
    const plan = JSON.parse(stdout) as Plan;
    expect(plan.moves?.map(({ to }) => to)).toEqual([3, 3, 3]);
    expect(plan.moves?.reduce((sum, { slots }) => sum + slots, 0)).toBe(4096);
  });

  test('of a script must say --yes', async () => {
    const { code, stderr } = await script('scale', name, '--shards', '4');
    expect(code).toBe(2);
    expect(stderr).toMatch(/nobody sits at a terminal\. Use --yes .*--dry-run/);
  });

  test('asks, moves the slots while a person watches, and tells what was moved and that no write is lost', async () => {
    const screen = run('scale', name, '--shards', '4');
    await screen.shows(`scale ${name}? [y/N]`);
    screen.type(`y${keys.enter}`);
    expect(await screen.ended, screen.text()).toBe(0);
    expect(screen.text()).toMatch(/✔ .*\n +moved +4,096 slots, /);
    expect(screen.text()).toMatch(/\n +ledger +[\d,]+ writes? acknowledged, all there\n/);
    const { verdict, shards } = await status();
    expect(verdict).toBe('healthy');
    expect(shards.map(({ slotCount }) => slotCount)).toEqual([4096, 4096, 4096, 4096]);
    expect(shards.reduce((sum, shard) => sum + (shard.keys ?? 0), 0)).toBe(KEYS);
    expect((await holdings(stack.dependencies.docker, name)).containers).toHaveLength(4);
    expect((await script('describe', name)).stdout).toMatch(/generation 2[\s\S]*shards: 4/);
  });

  test('to the size that it has finds nothing to do', async () => {
    expect(await script('scale', name, '--shards', '4', '--yes')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('nothing to do'),
    });
  });
});

describe('rebalance', () => {
  test('of a cluster in balance finds nothing to do', async () => {
    expect(await script('rebalance', name, '--yes')).toMatchObject({ code: 0, stdout: expect.stringContaining('nothing to do') });
  });

  test('gives a shard the share that it is given, told line by line in a log', async () => {
    const { code, stdout, stderr } = await script('rebalance', name, '--weight', '0=2', '--yes');
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/ +moved +2,45\d slots, /);
    expect(stderr).toMatch(/^\[ *\d+\.\ds\] .* done in /m);
    const { shards } = await status();
    expect(shards[0]?.slotCount).toBeGreaterThan(6500);
    expect(shards.reduce((sum, shard) => sum + (shard.keys ?? 0), 0)).toBe(KEYS);
  });

  test('with --no-watch is started, and can be come back to', async () => {
    const { code, stdout } = await script('rebalance', name, '--yes', '--no-watch');
    expect(code).toBe(0);
    const back = /come back: +holdfast (operations show \S+ --watch)/.exec(stdout)?.[1] ?? '';
    const ended = await script(...back.split(' '));
    expect(ended, ended.stderr).toMatchObject({ code: 0 });
    expect((await status()).shards.map(({ slotCount }) => slotCount)).toEqual([4096, 4096, 4096, 4096]);
  });
});

test('repair finds no open slot, and says so', async () => {
  expect(await script('repair', name, '--yes')).toMatchObject({ code: 0, stdout: expect.stringContaining('nothing to do') });
});

describe('a move that runs', () => {
  test('is shown live, slot by slot, and takes new limits meanwhile', async () => {
    // One slot at a time, so that there is something to see.
    const screen = run('rebalance', name, '--weight', '0=2', '--yes', '--strategy', 'pipelined', '--slots-at-once', '1');
    await screen.shows(/ +\d+ % +[\d,]+\/2,45\d slots/);
    await screen.shows(/ shard 1 -> 0 +[\d,]+\/8\d\d slots/);
    const changed = await script('operations', 'limits', name, '--slots-at-once', '512', '--probe-p99-ms', '50');
    expect(changed).toMatchObject({ code: 0, stdout: expect.stringContaining('From now on: probeP99Ms 50, slotsAtOnce 512.') });
    expect(await screen.ended, screen.text()).toBe(0);
    expect(screen.text()).toMatch(/ +moved +2,45\d slots, .*pipelined\n/);
  });

  test('that is paused stands between two groups, and goes on', async () => {
    const screen = run('rebalance', name, '--yes', '--strategy', 'pipelined', '--slots-at-once', '1');
    await screen.shows(/ +\d+ % +[\d,]+\/2,45\d slots/);
    const paused = await script('operations', 'pause', name);
    expect(paused.stdout).toMatch(/a move of slots stops between two groups, with no slot open\. Go on with: /);
    await screen.shows(/held: paused/);
    expect((await status()).findings.filter(({ code }) => code.includes('open'))).toEqual([]);
    expect(await script('operations', 'resume', name)).toMatchObject({ code: 0 });
    expect(await script('operations', 'limits', name, '--slots-at-once', '512')).toMatchObject({ code: 0 });
    expect(await screen.ended, screen.text()).toBe(0);
    expect((await status()).shards.map(({ slotCount }) => slotCount)).toEqual([4096, 4096, 4096, 4096]);
  });

  test('takes no limits before slots move, nor when it has ended', async () => {
    const started = await script('scale', name, '--shards', '3', '--yes', '--needs-approval', '120', '--no-watch');
    expect(started).toMatchObject({ code: 0, stdout: expect.stringMatching(/approve it: holdfast operations approve /) });
    const id = /come back: +holdfast operations show (\S+) --watch/.exec(started.stdout)?.[1] ?? '';
    const handle = await new Holdfast(stack.client).operations.attach(id);
    await until('it waits for approval', async () => (await handle.progress()).stage === 'approval');

    const early = await script('operations', 'limits', id, '--pairs', '2');
    expect(early).toMatchObject({ code: 7, stdout: '', stderr: expect.stringContaining('moves no slots now') });
    expect(await script('operations', 'reject', id)).toMatchObject({ code: 0 });
    await handle.result().catch(() => undefined); // rejected, as it was told

    const late = await script('operations', 'limits', id, '--pairs', '2');
    expect(late).toMatchObject({ code: 5, stdout: '', stderr: expect.stringContaining('has ended already') });
    expect((await holdings(stack.dependencies.docker, name)).containers).toHaveLength(4);
  });
});

describe('mistakes end with 2, say what to type, and start nothing', () => {
  test.each([
    [['scale', name], /such as: holdfast scale \S+ --shards 4/],
    [['scale', name, '--shards', '0'], /whole number from 1 to 500/],
    [['scale', name, '--shards', 'three'], /whole number from 1 to 500/],
    [['rebalance', name, '--weight', '3'], /look like 0=2/],
    [['rebalance', name, '--move', '0:1'], /look like 0:1:0-99,200/],
    [['operations', 'limits', name], /Name at least one limit/],
    [['scale', 'No_Name', '--shards', '4', '--yes'], /a name has 2 to 40 lower-case letters/],
  ] as const)('%j', async (args, says) => {
    const before = await operations();
    const { code, stdout, stderr } = await script(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(says);
    expect(stderr).not.toMatch(/\n +at /);
    expect(await operations()).toEqual(before);
  });

  test('two shards are too few for a cluster: refused with 7', async () => {
    const { code, stdout } = await script('scale', name, '--shards', '2', '--yes');
    expect({ code, stdout }).toEqual({ code: 7, stdout: expect.stringMatching(/at least 3 shards/) });
    expect((await holdings(stack.dependencies.docker, name)).containers).toHaveLength(4);
  });

  test('a cluster that is not there ends with 5', async () => {
    for (const command of [
      ['scale', 'nobody', '--shards', '4'],
      ['rebalance', 'nobody'],
      ['repair', 'nobody'],
    ])
      expect(await script(...command, '--yes')).toMatchObject({ code: 5, stdout: '' });
  });
});
