import type { Client } from '@temporalio/client';
import { defaultDataConverter } from '@temporalio/common';
import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { moveLimits } from '../../config/migration.ts';
import { operationInputs } from '../../config/operations.ts';
import type { OperationResult, Plan } from '../../config/progress.ts';
import { movesOf } from '../../starter/cli/commands/rebalance.ts';
import { type ExitCode, exitCodes } from '../../starter/cli/exit-codes.ts';
import { exitCodeOf } from '../../starter/cli/explain-error.ts';
import { addOperationsCommands } from '../../starter/cli/operations-commands.ts';
import { addScalingCommands } from '../../starter/cli/scaling-commands.ts';
import type { Run, Session } from '../../starter/cli/session.ts';
import { limitFlags } from '../../starter/cli/shared-options.ts';
import { createStyle } from '../../starter/cli/terminal.ts';
import { Holdfast } from '../../starter/client/index.ts';

const plan = (more: Partial<Plan> = {}): Plan => ({
  summary: 'Scale demo.',
  steps: [{ name: 'move slots', change: '1365 slots' }],
  refusals: [],
  digest: '0123456789abcdef',
  moves: [
    { from: 0, to: 3, ranges: '0-99,200', slots: 101, keys: 7, bytes: 70, estimatedMs: 10 },
    { from: 1, to: 3, ranges: '300', slots: 1, keys: 1, bytes: 7, estimatedMs: 10 },
  ],
  ...more,
});
const result = (its: Plan, outcome: OperationResult['outcome']): OperationResult => ({
  operation: 'scale',
  cluster: 'demo',
  outcome,
  summary: 'demo has 4 shards',
  plan: its,
  tookMs: 1000,
  steps: [],
});

interface Asked {
  readonly type: string;
  readonly input: Readonly<Record<string, unknown>>;
}

/** Runs a command line against a Temporal that plans what it is told and carries out everything. */
async function holdfast(line: readonly string[], its: Plan = plan()) {
  const asked: Asked[] = [];
  const updates: unknown[] = [];
  const [printed, noted]: [string[], string[]] = [[], []];
  const ended = async (id: string) => result(its, id.endsWith('dry') ? 'planned' : 'done');
  const progress = { operation: 'scale', cluster: 'demo', stage: 'ended', paused: false, steps: [], warnings: [] };
  const within = (_: unknown, run: () => unknown) => run();
  const handle = (id: string) => ({
    workflowId: id,
    result: () => ended(id),
    query: async () => progress,
    describe: async () => ({ workflowId: id, runId: 'r', type: 'scale', status: { name: 'RUNNING' }, startTime: new Date(0), raw: {} }),
    executeUpdate: async (name: string, { args }: { args: readonly unknown[] }) => void updates.push([name, ...args]),
  });
  const client = {
    options: { namespace: 'default', loadedDataConverter: defaultDataConverter },
    withDeadline: within,
    withAbortSignal: within,
    workflowService: { describeTaskQueue: async () => ({ pollers: [{ lastAccessTime: { seconds: Date.now() / 1000 } }] }) },
    workflow: {
      start: async (type: string, { args: [input] }: { args: [Asked['input']] }) => {
        asked.push({ type, input: JSON.parse(JSON.stringify(input)) as Asked['input'] });
        return { firstExecutionRunId: input.dryRun === true ? 'dry' : 'real' };
      },
      getHandle: (_: string, runId = 'r') => handle(`op/${runId}`),
    },
  } as unknown as Client;
  const session: Session = {
    terminal: {
      print: (text) => void printed.push(text),
      note: (text) => void noted.push(text),
      style: createStyle(false),
      noteStyle: createStyle(false),
      interactive: false,
      live: false,
      columns: 80,
    },
    settings: {} as Session['settings'],
    identity: 'ada@home',
    holdfast: async () => new Holdfast(client),
    uiLink: (id) => `http://ui/${id}`,
    [Symbol.asyncDispose]: async () => undefined,
  };
  let code: ExitCode | undefined;
  const run: Run = async (act) => {
    code = await act(session);
  };
  const program = new Command('holdfast');
  addScalingCommands(program, run);
  addOperationsCommands(program.command('operations'), run);
  const quiet = (command: Command): void => {
    command.exitOverride().configureOutput({ writeErr: (text) => void noted.push(text) });
    command.commands.forEach(quiet);
  };
  quiet(program);
  let error: unknown;
  try {
    await program.parseAsync(line, { from: 'user' });
  } catch (thrown) {
    error = thrown;
    code = thrown instanceof Error && 'code' in thrown ? exitCodes.usage : exitCodeOf(thrown);
  }
  const message = error instanceof Error ? error.message : '';
  return { code, message, asked, updates, printed: printed.join('\n'), noted: noted.join('\n') };
}

describe('scale', () => {
  test('plans, and runs the plan that was shown', async () => {
    const { code, asked, printed } = await holdfast(['scale', 'demo', '--shards', '4', '--yes', '--reason', 'growth']);
    expect(code).toBe(exitCodes.ok);
    const input = { cluster: 'demo', shards: 4, limits: {}, whenBusy: 'fail', reason: 'growth' };
    expect(asked).toEqual([
      { type: 'scale', input: { ...input, dryRun: true } },
      { type: 'scale', input: { ...input, planDigest: '0123456789abcdef' } },
    ]);
    expect(printed).toMatch(/1\. move slots[\s\S]*total +2 pairs[\s\S]*✔ demo has 4 shards/);
  });

  test('takes every size, and everything that bounds the move', async () => {
    const { asked, code } = await holdfast(
      'scale demo --shards 4 --replicas 0 --memory 512Mi --cpus 0.5 --strategy native --big-keys move --probe-p99-ms 2.5 --stall-ms 500 --node-away-ms 5000 --max-key-bytes 1Mi --slots-at-once 16 --batch-keys 10 --batch-bytes 65536 --pairs 2 --when-busy wait --needs-approval 60 --dry-run'.split(
        ' ',
      ),
    );
    expect(code).toBe(exitCodes.ok);
    expect(asked.map(({ input }) => input)).toEqual([
      {
        cluster: 'demo',
        shards: 4,
        replicasPerShard: 0,
        resources: { memory: '512Mi', cpus: 0.5 },
        strategy: 'native',
        bigKeys: 'move',
        limits: {
          probeP99Ms: 2.5,
          stallMs: 500,
          nodeAwayMs: 5000,
          maxKeyBytes: 1024 ** 2,
          slotsAtOnce: 16,
          batchKeys: 10,
          batchBytes: 65_536,
          pairs: 2,
        },
        whenBusy: 'wait',
        approval: { timeoutSeconds: 60 },
        dryRun: true,
      },
    ]);
    expect(operationInputs.scale.safeParse(asked[0]?.input).error).toBeUndefined();
  });

  test('has an option for each limit of the contract', () => {
    expect(limitFlags).toHaveLength(Object.keys(moveLimits.shape).length);
  });

  test('with --dry-run shows the moves and starts nothing else', async () => {
    const { code, asked, printed, noted } = await holdfast(['scale', 'demo', '--shards', '4', '--dry-run']);
    expect(code).toBe(exitCodes.ok);
    expect(asked.map(({ input }) => input.dryRun)).toEqual([true]);
    expect(printed).toMatch(/FROM +TO +SLOTS[\s\S]*shard 0 +shard 3 +101 +7 /);
    expect(noted).toMatch(/nothing was changed\. Do it: the same without --dry-run/);
    const json = await holdfast(['scale', 'demo', '--shards', '4', '--dry-run', '-o', 'json']);
    expect(JSON.parse(json.printed)).toMatchObject({ operation: 'scale', cluster: 'demo', moves: [{ from: 0 }, { from: 1 }] });
  });

  test('with --no-watch says how to come back and ends', async () => {
    const { code, printed } = await holdfast(['scale', 'demo', '--shards', '4', '--yes', '--no-watch', '--needs-approval']);
    expect(code).toBe(exitCodes.ok);
    expect(printed).toContain('http://ui/op/real');
    expect(printed).toMatch(/Started\.[\s\S]*operations show op\/real --watch\n.*operations cancel op\/real\n.*approve op\/real$/);
    expect(printed).not.toContain('demo has 4 shards');
    const json = await holdfast(['scale', 'demo', '--shards', '4', '--yes', '--no-watch', '-o', 'json']);
    expect(JSON.parse(json.printed)).toMatchObject({ operation: 'scale', cluster: 'demo', workflowId: 'op/real' });
  });

  test('of a script must say --yes, and nothing is started until it does', async () => {
    const { code, message, asked } = await holdfast(['scale', 'demo', '--shards', '4']);
    expect(code).toBe(exitCodes.usage);
    expect(message).toMatch(/Use --yes .*, or --dry-run to see/);
    expect(asked.map(({ input }) => input.dryRun)).toEqual([true]);
  });

  test('ends with 7 when the plan is refused, and with 0 when there is nothing to do; both start nothing', async () => {
    const refused = await holdfast(['scale', 'demo', '--shards', '4', '--yes'], plan({ refusals: ['no memory'] }));
    expect(refused).toMatchObject({ code: exitCodes.refused, printed: expect.stringContaining('✖ no memory') });
    const nothing = await holdfast(['scale', 'demo', '--shards', '4', '--yes'], plan({ steps: [], moves: [] }));
    expect(nothing).toMatchObject({ code: exitCodes.ok, printed: expect.stringContaining('nothing to do') });
    for (const { asked } of [refused, nothing]) expect(asked).toHaveLength(1);
  });
});

describe('rebalance', () => {
  test('runs the very moves that were shown: a plan that is made twice differs', async () => {
    const { asked, code } = await holdfast(
      'rebalance demo --by keys --weight 0=2 --weight 03=0.5 --threshold 5% --max-moves 100 --yes'.split(' '),
    );
    expect(code).toBe(exitCodes.ok);
    const input = { cluster: 'demo', by: 'keys', weights: { 0: 2, 3: 0.5 }, threshold: 5, maxMoves: 100, limits: {}, whenBusy: 'fail' };
    const moves = [
      { from: 0, to: 3, slots: '0-99,200' },
      { from: 1, to: 3, slots: '300' },
    ];
    expect(asked.map((one) => one.input)).toEqual([
      { ...input, dryRun: true },
      { ...input, moves, planDigest: '0123456789abcdef' },
    ]);
    for (const one of asked) expect(operationInputs.rebalance.safeParse(one.input).error).toBeUndefined();
  });

  test('takes moves that somebody has decided on', async () => {
    const { asked } = await holdfast('rebalance demo --move 0:1:0-99,200 --move 2:1:16383 --dry-run'.split(' '));
    expect(asked[0]?.input.moves).toEqual([
      { from: 0, to: 1, slots: '0-99,200' },
      { from: 2, to: 1, slots: '16383' },
    ]);
  });

  test('of a plan without moves asks for none', () => {
    expect(movesOf({})).toEqual({});
    expect(movesOf({ moves: [] })).toEqual({});
  });
});

test('repair takes limits, but nothing about how slots are moved', async () => {
  const { asked, code } = await holdfast(['repair', 'demo', '--probe-p99-ms', '20', '--yes']);
  expect(code).toBe(exitCodes.ok);
  expect(asked.map(({ type }) => type)).toEqual(['repair', 'repair']);
  expect(asked[1]?.input).toEqual({ cluster: 'demo', limits: { probeP99Ms: 20 }, whenBusy: 'fail', planDigest: '0123456789abcdef' });
  expect(await holdfast(['repair', 'demo', '--strategy', 'native'])).toMatchObject({ code: exitCodes.usage, asked: [] });
});

test('operations limits changes those that are named', async () => {
  const { code, updates, printed } = await holdfast('operations limits op --probe-p99-ms 20 --batch-bytes 2Mi'.split(' '));
  expect(code).toBe(exitCodes.ok);
  expect(updates).toEqual([['limits', { probeP99Ms: 20, batchBytes: 2 * 1024 ** 2 }]]);
  expect(printed).toMatch(/^From now on: probeP99Ms 20, batchBytes 2097152\. Watch it: holdfast operations show /);
});

describe('mistakes of a tired person end with 2 and one line that says what to type; nothing is started', () => {
  test.each([
    ['scale demo', /--shards, --replicas, --memory or --cpus, such as: holdfast scale demo --shards 4/],
    ['scale', /missing required argument 'cluster'/],
    ['scale demo --shards 0', /whole number from 1 to 500/],
    ['scale demo --shards three', /whole number from 1 to 500/],
    ['scale demo --shards -1', /whole number from 1 to 500/],
    ['scale demo --shards 4.5', /whole number from 1 to 500/],
    ['scale demo --shards', /argument missing/],
    ['scale demo --replicas 6', /whole number from 0 to 5/],
    ['scale demo --memory 10Mi', /from 64Mi on, such as 512Mi/],
    ['scale demo --memory 512MB', /such as 512Mi/],
    ['scale demo --cpus 0', /from 0\.1 to 64/],
    ['scale demo --shards 4 --strategy fast', /auto, native, pipelined/],
    ['scale demo --shards 4 --big-keys delete', /stop, move/],
    ['scale demo --shards 4 --max-key-bytes 64MB', /bytes from 1024, such as 64Mi/],
    ['scale demo --shards 4 --pairs 65', /from 1 to 64/],
    ['scale demo --shards 4 --probe-p99-ms ten', /number from 0\.5 to 60000/],
    ['rebalance demo --weight 3', /look like 0=2/],
    ['rebalance demo --weight a=b', /look like 0=2/],
    ['rebalance demo --weight 0=-1', /look like 0=2/],
    ['rebalance demo --weight 0=2000', /to 1000/],
    ['rebalance demo --weight 0=1 --weight 0=2', /Shard 0 has a weight already/],
    ['rebalance demo --move 0:1', /look like 0:1:0-99,200/],
    ['rebalance demo --move 0:1:20-10', /look like 0:1:0-99,200/],
    ['rebalance demo --move 0:1:16384', /slots from 0 to 16383/],
    ['rebalance demo --move 0-1-5', /look like 0:1:0-99,200/],
    ['rebalance demo --move 1:1:5', /Shard 1 cannot give slots to itself/],
    ['rebalance demo --move 0:1:5 --by keys', /cannot be used with option '--by/],
    ['rebalance demo --by size', /slots, keys, memory/],
    ['rebalance demo --threshold 200', /from 0 to 100/],
    ['rebalance demo --max-moves 0', /from 1 to 16384/],
    ['operations limits demo', /Name at least one limit, such as: holdfast operations limits demo --probe-p99-ms 20/],
    ['operations limits demo --stall-ms 1', /from 100 to 600000/],
  ])('holdfast %s', async (line, says) => {
    const { code, message, asked, updates } = await holdfast(line.split(' '));
    expect(code).toBe(exitCodes.usage);
    expect(message).toMatch(says);
    expect(message.split('\n')).toHaveLength(1);
    expect([...asked, ...updates]).toEqual([]);
  });
});
