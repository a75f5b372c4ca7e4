import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { MoveProgress, MoveReport, PlannedMove } from '../../config/migration.ts';
import type { OperationResult, Progress, StepProgress } from '../../config/progress.ts';
import { createStyle } from '../../starter/cli/terminal.ts';
import { moveLine, renderMove } from '../../starter/cli/view/move-view.ts';
import { renderMoves } from '../../starter/cli/view/moves-table.ts';
import { renderPlan } from '../../starter/cli/view/plan-view.ts';
import { progressLines, renderProgress } from '../../starter/cli/view/progress-view.ts';
import { renderResult } from '../../starter/cli/view/result-view.ts';
import { formatCount, formatEstimate, formatLatency, shorten } from '../../starter/cli/view/units.ts';

const plain = createStyle(false);
const colour = createStyle(true);

const planned = (from: number, to: number, more: Partial<PlannedMove> = {}): PlannedMove => ({
  from,
  to,
  ranges: '0-99,200',
  slots: 1365,
  keys: 131_072,
  bytes: 512 * 1024 ** 2,
  estimatedMs: 12_300,
  ...more,
});

const move = (more: Partial<MoveProgress> = {}): MoveProgress => ({
  state: 'moving',
  strategy: 'pipelined',
  slots: 2240,
  slotsTotal: 5461,
  keys: 524_288,
  keysTotal: 1_280_000,
  bytes: 512 * 1024 ** 2,
  bytesTotal: 1.5 * 1024 ** 3,
  keysPerSecond: 12_345,
  secondsLeft: 130,
  latency: { samples: 100, p50: 0, p99: 1.23, p999: 0, max: 4 },
  pairs: [
    { from: 0, to: 3, slots: 512, slotsTotal: 1365, keys: 131_072 },
    { from: 1, to: 3, slots: 1365, slotsTotal: 1365, keys: 1200 },
  ],
  ...more,
});

const step = (name: string, state: StepProgress['state'], more: Partial<StepProgress> = {}): StepProgress => ({ name, state, ...more });
const moving = (more: Partial<MoveProgress> = {}, steps: readonly StepProgress[] = []): Progress => ({
  operation: 'scale',
  cluster: 'demo',
  stage: 'act',
  paused: false,
  steps: [...steps, step('move slots', 'running', { startedAt: new Date(0).toISOString(), move: move(more) }), step('verify', 'waiting')],
  warnings: [],
});
const picture = (progress: Progress, rows = 30, columns = 80, style = plain) =>
  renderProgress({ progress, workflowId: 'op-1', now: 65_000, rows, columns }, style).split('\n');
const widest = (lines: readonly string[]) => Math.max(...lines.map((line) => stripVTControlCharacters(line).length));

describe('units of a move', () => {
  test('counts have thousands, estimates no tenths, latencies as many digits as tell something', () => {
    expect(formatCount(131_072)).toBe('131,072');
    expect([400, 12_300, 65_400, 7_800_000].map(formatEstimate)).toEqual(['<1s', '12s', '1m 05s', '2h 10m']);
    expect([0.42, 1.234, 14.2].map(formatLatency)).toEqual(['0.42 ms', '1.2 ms', '14 ms']);
    expect(shorten('0-99,200-299', 8)).toBe('0-99,20…');
  });
});

describe('the plan of moves', () => {
  const moves = [planned(0, 3), planned(1, 3), planned(2, 3, { estimatedMs: 20_000 })];

  test('has a row for each pair of shards and one for all', () => {
    const lines = renderMoves(moves, false, plain).split('\n');
    expect(lines[0]).toMatch(/^FROM +TO +SLOTS +KEYS +BYTES +ESTIMATE$/);
    expect(lines[1]).toMatch(/^shard 0 +shard 3 +1,365 +131,072 +512 MiB +12s$/);
    expect(lines.at(-1)).toMatch(/^total +3 pairs +4,095 +393,216 +1\.5 GiB +up to 45s$/);
    expect(lines).toHaveLength(5);
  });

  test('names the slots only when it may be wide, and cuts a long list', () => {
    expect(renderMoves(moves, false, plain)).not.toContain('0-99');
    const wide = renderMoves([planned(0, 1, { ranges: Array.from({ length: 50 }, (_, i) => i * 2).join(',') })], true, plain);
    expect(wide).toMatch(/ESTIMATE +RANGES\n.* 0,2,4,[\d,]+…\n/);
    expect(widest(wide.split('\n'))).toBeLessThan(120);
  });

  test('of a large cluster shows the first pairs and how many more there are; wide shows all', () => {
    const many = Array.from({ length: 40 }, (_, i) => planned(i, 100));
    const lines = renderMoves(many, false, plain).split('\n');
    expect(lines.at(-2)).toMatch(/^… +25 more +-o wide shows them$/);
    expect(lines.at(-1)).toMatch(/^total +40 pairs +54,600 /);
    expect(renderMoves(many, true, plain).split('\n')).toHaveLength(42);
  });

  test('stands under the steps of the plan', () => {
    const plan = { summary: 'Scale demo.', steps: [{ name: 'move slots', change: '4095 slots' }], refusals: [], moves };
    expect(renderPlan(plan, false, plain)).toMatch(/1\. move slots {2}4095 slots\n\n {2}FROM +TO[\s\S]*\n {2}total +3 pairs/);
    expect(renderPlan({ ...plan, moves: [] }, false, plain)).not.toContain('FROM');
  });

  test('keeps the lists of slots out of its steps unless it may be wide, and even then bounds them', () => {
    const change = `3 from shard 0 to 3 (0-1,7); 1000 from shard 1 to 3 (${Array.from({ length: 1000 }, (_, i) => i * 3).join(',')})`;
    const plan = { summary: '', steps: [{ name: 'move slots', change }], refusals: [], moves };
    expect(renderPlan(plan, false, plain)).toMatch(/move slots {2}3 from shard 0 to 3; 1000 from shard 1 to 3\n/);
    const wide = renderPlan(plan, true, plain).split('\n');
    expect(wide[1]).toContain('(0-1,7)');
    expect(widest(wide)).toBeLessThan(1100);
  });
});

describe('a move that runs', () => {
  test('is told below its step: how far, how fast, how long still, what clients feel, and each pair', () => {
    expect(picture(moving())).toEqual([
      '  ▸ move slots   1m 05s  pipelined',
      '      ████████░░░░░░░░░░░░ 41 %   2,240/5,461 slots   524,288/1,280,000 keys',
      '      512 MiB/1.5 GiB   12,345 keys/s   2m 10s left   probe p99 1.2 ms',
      '      shard 0 -> 3     512/1,365 slots   131,072 keys',
      '      shard 1 -> 3   1,365/1,365 slots     1,200 keys',
      '  · verify',
      '  working · step 1 of 2',
    ]);
  });

  test.each([
    ['slowed', 'p99 14 ms, the budget is 10 ms', 'slowed: p99 14 ms, the budget is 10 ms'],
    ['held', 'the probe waits for 1.2 s', 'held: the probe waits for 1.2 s'],
    ['waiting for a node', 'shard 2 fails over', 'waiting for a node: shard 2 fails over'],
    ['closing', undefined, 'closing open slots'],
  ] as const)('that is %s says why', (state, why, said) => {
    const lines = picture(moving({ state, ...(why === undefined ? {} : { why }) }));
    expect(lines).toContain(`      ${said}`);
  });

  test('says nothing of what is not known: no time left, no answers of the probe yet', () => {
    const { secondsLeft: _, ...unknown } = move({ latency: { samples: 0, p50: 0, p99: 0, p999: 0, max: 0 } });
    const text = renderMove(unknown, { columns: 80, rows: 20 }, plain).join('\n');
    expect(text).not.toMatch(/left|probe/);
  });

  test('shows at most eight pairs, those that still move first, and counts the others', () => {
    const pairs = Array.from({ length: 12 }, (_, i) => ({
      from: i,
      to: 12 + i,
      slots: i === 0 ? 10 : i,
      slotsTotal: i === 0 ? 10 : 500,
      keys: i,
    }));
    const lines = picture(moving({ pairs }));
    const shown = lines.filter((line) => line.includes('->'));
    expect(shown).toHaveLength(8);
    expect(shown[0]).toContain('shard 1 -> 13');
    expect(lines).toContain('      and 4 more');
    expect(picture(moving({ pairs: pairs.slice(0, 9) })).filter((line) => line.includes('->'))).toHaveLength(8);
  });

  test('fits 80 columns, and fewer, whatever the figures', () => {
    const huge = move({
      state: 'held',
      why: 'the probe waits for an answer of shard 499 '.repeat(5),
      slots: 16_383,
      slotsTotal: 16_384,
      keys: 9_999_999_999,
      keysTotal: 9_999_999_999,
      bytes: 999 * 1024 ** 3,
      bytesTotal: 999 * 1024 ** 3,
      keysPerSecond: 1_234_567,
      secondsLeft: 900_000,
      pairs: Array.from({ length: 20 }, (_, i) => ({ from: 480 + i, to: 100 + i, slots: 1000, slotsTotal: 16_384, keys: 9_999_999_999 })),
    });
    for (const columns of [80, 60])
      expect(widest(picture(moving(huge), 30, columns, colour)), `${columns} columns`).toBeLessThanOrEqual(columns);
  });

  test('gives way on a low terminal: pairs go first, then steps, and what runs stays in view', () => {
    const pairs = Array.from({ length: 8 }, (_, i) => ({ from: i, to: 8, slots: 1, slotsTotal: 2, keys: 1 }));
    const before = Array.from({ length: 20 }, (_, i) => step(`start node ${i}`, 'done'));
    for (const rows of [40, 18, 12, 9]) {
      const lines = picture(moving({ pairs }, before), rows);
      expect(lines.length, `${rows} rows`).toBeLessThanOrEqual(rows + 1); // the line of the stage
      expect(lines.join('\n')).toMatch(/▸ move slots[\s\S]* 41 %/);
    }
    expect(picture(moving({ pairs }, before), 9).join('\n')).toMatch(/\n {6}and 5 more/);
  });

  test('changes nothing but the colour on a colourful terminal', () => {
    const inColour = picture(moving({ state: 'slowed', why: 'x' }), 30, 80, colour);
    expect(inColour.map((line) => stripVTControlCharacters(line).trimEnd())).toEqual(picture(moving({ state: 'slowed', why: 'x' })));
  });
});

describe('a move in a log', () => {
  const at = (slots: number, more: Partial<MoveProgress> = {}) => move({ slots, slotsTotal: 1000, ...more });

  test('has a line at every tenth', () => {
    let before: MoveProgress | undefined;
    const lines: string[] = [];
    for (let slots = 0; slots <= 1000; slots += 25) {
      const line = moveLine(before, at(slots));
      if (line !== undefined) lines.push(line);
      before = at(slots);
    }
    expect(lines.map((line) => line.split(' ')[0])).toEqual(['10', '20', '30', '40', '50', '60', '70', '80', '90', '100']);
    expect(lines[3]).toBe('40 % of 1,000 slots, 524,288 keys, 12,345 keys/s, 2m 10s left, probe p99 1.2 ms');
  });

  test('has a line when its state changes, with the reason', () => {
    const slowed = at(120, { state: 'slowed', why: 'p99 14 ms\nand more' });
    expect(moveLine(at(110), slowed)).toMatch(/^12 % of 1,000 slots, .*; slowed: p99 14 ms$/);
    expect(moveLine(slowed, slowed)).toBeUndefined();
    expect(moveLine(slowed, at(130))).toMatch(/; moving$/);
  });

  test('stands between the lines of the steps', () => {
    const first = moving({ slots: 0 });
    const later = moving({ slots: 5461 * 0.35 });
    const done: Progress = {
      ...first,
      steps: [step('move slots', 'done', { tookMs: 61_000, note: '5461 slots', move: move({ slots: 5461 }) })],
    };
    expect(progressLines(undefined, first)).toEqual(['move slots ...']);
    expect(progressLines(first, later)).toEqual([expect.stringMatching(/^move slots: 3\d % of 5,461 slots, /)]);
    expect(progressLines(later, later)).toEqual([]);
    expect(progressLines(later, done)).toEqual(['move slots done in 1m 01s: 5461 slots']);
  });

  test('of an operation that somebody comes back to begins with where it is', () => {
    expect(progressLines(undefined, moving())).toEqual(['move slots ...', expect.stringMatching(/^move slots: 41 % /)]);
  });
});

describe('the result of a move', () => {
  const report = (more: Partial<MoveReport> = {}): MoveReport => ({
    strategy: 'native',
    slots: 4096,
    slotsTotal: 4096,
    keys: 131_072,
    bytes: 512 * 1024 ** 2,
    tookMs: 12_345,
    keysPerSecond: 10_617.4,
    latency: { samples: 1204, p50: 0.41, p99: 1.23, p999: 14.8, max: 20 },
    ledger: { written: 1205, acknowledged: 1204, lost: 0, evicted: 0 },
    heldMs: 0,
    pairs: [],
    ...more,
  });
  const result = (moved: MoveReport | undefined): OperationResult => ({
    operation: 'scale',
    cluster: 'demo',
    outcome: 'done',
    summary: 'demo has 4 shards',
    plan: { summary: '', steps: [], refusals: [] },
    tookMs: 61_000,
    steps: [],
    ...(moved === undefined ? {} : { moved }),
  });

  test('says how much, how fast, what clients felt, and that everything is there', () => {
    expect(renderResult(result(report()), plain).split('\n')).toEqual([
      '✔ demo has 4 shards (1m 01s)',
      '  moved   4,096 slots, 131,072 keys, 512 MiB in 12.3s: 10,617 keys/s, native',
      '  probe   p50 0.41 ms, p99 1.2 ms, p99.9 15 ms',
      '  ledger  1,204 writes acknowledged, all there',
      '  next: holdfast status demo',
    ]);
    expect(renderResult(result(undefined), plain)).toBe('✔ demo has 4 shards (1m 01s)\n  next: holdfast status demo');
  });

  test('tells how long it was held, and when not all slots moved', () => {
    const text = renderResult(result(report({ heldMs: 3200, slots: 4000 })), plain);
    expect(text).toContain('  held    3.2s, since the probe waited longer than stallMs');
    expect(text).toContain('4,000 of 4,096 slots');
  });

  test('does not hide a lost write, and does not blame the move for an eviction', () => {
    const lost = renderResult(result(report({ ledger: { written: 10, acknowledged: 9, lost: 2, evicted: 0 } })), colour);
    expect(lost).toContain(colour.bad('9 writes acknowledged, 2 of them lost'));
    const evicted = renderResult(result(report({ ledger: { written: 10, acknowledged: 9, lost: 0, evicted: 2 } })), plain);
    expect(evicted).toContain('9 writes acknowledged, none lost; the server evicted 2');
  });

  test('of a deprovision that found nothing says so', () => {
    const nothing: OperationResult = { ...result(undefined), operation: 'deprovision', outcome: 'unchanged' };
    expect(renderResult(nothing, plain)).toBe('There is nothing to remove.');
    expect(renderResult({ ...nothing, operation: 'rebalance', summary: 'demo is in balance' }, plain)).toMatch(/: nothing to do\n/);
  });
});
