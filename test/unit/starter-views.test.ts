import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import { clusterSpec } from '../../config/cluster-spec.ts';
import type { Progress, StepProgress } from '../../config/progress.ts';
import type { NodeStatus, StatusReport } from '../../config/status.ts';
import { renderOutput } from '../../starter/cli/output.ts';
import { createStyle, wantsColours } from '../../starter/cli/terminal.ts';
import { connectionFacts, renderConnection } from '../../starter/cli/view/connect-view.ts';
import { renderPlan } from '../../starter/cli/view/plan-view.ts';
import { progressLines, renderBar, renderProgress, stepsInView } from '../../starter/cli/view/progress-view.ts';
import { groupFindings, renderStatus } from '../../starter/cli/view/status-view.ts';
import { formatBytes, formatDuration } from '../../starter/cli/view/units.ts';

const plain = createStyle(false);
const colour = createStyle(true);

const step = (name: string, state: StepProgress['state'], more: Partial<StepProgress> = {}): StepProgress => ({ name, state, ...more });
const progress = (steps: readonly StepProgress[], more: Partial<Progress> = {}): Progress => ({
  operation: 'provision',
  cluster: 'demo',
  stage: 'act',
  paused: false,
  steps,
  warnings: [],
  ...more,
});
const frame = (p: Progress, rows = 20) => renderProgress({ progress: p, workflowId: 'op-1', now: 10_000, rows }, plain);

const node = (name: string, role: NodeStatus['role'], more: Partial<NodeStatus> = {}): NodeStatus => ({
  name,
  kind: 'data',
  host: 'local',
  address: '10.0.0.2',
  role,
  state: 'running',
  ...more,
});
const spec = clusterSpec.parse({ name: 'demo', engine: 'valkey', version: '9.1' });
const report: StatusReport = {
  cluster: 'demo',
  verdict: 'degraded',
  headline: '1 of 6 nodes is down.',
  observedAt: '2026-11-02T10:00:00Z',
  findings: [
    {
      severity: 'critical',
      code: 'node-down',
      subject: 'demo-0-1',
      message: 'its container is stopped',
      next: 'holdfast apply -f demo.yaml',
    },
  ],
  shards: [
    {
      shard: 0,
      slots: ['0-5460'],
      slotCount: 5461,
      keys: 12,
      nodes: [
        node('demo-0-1', 'replica', { state: 'stopped' }),
        node('demo-0-0', 'primary', { memoryUsedBytes: 2 * 1024 ** 2, memoryMaxBytes: 96 * 1024 ** 2 }),
      ],
    },
  ],
  sentinels: [],
  spec,
  generation: 4,
  running: { workflowId: 'op-1', runId: 'r', operation: 'configure' },
  journal: [],
};

describe('units', () => {
  test.each([
    [0, '0ms'],
    [850, '850ms'],
    [3249, '3.2s'],
    [59_999, '59.9s'],
    [65_000, '1m 05s'],
    [7_800_000, '2h 10m'],
    [93_600_000, '1d 2h'],
  ])('%i ms is %s', (ms, text) => expect(formatDuration(ms)).toBe(text));

  test.each([
    [0, '0 B'],
    [512, '512 B'],
    [1536, '1.5 KiB'],
    [96 * 1024 ** 2, '96 MiB'],
    [2.5 * 1024 ** 3, '2.5 GiB'],
  ])('%i bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));
});

describe('colours', () => {
  test('are for terminals, unless NO_COLOR says otherwise', () => {
    expect(wantsColours({ isTTY: true }, {})).toBe(true);
    expect(wantsColours({}, {})).toBe(false);
    expect(wantsColours({ isTTY: true }, { NO_COLOR: '1' })).toBe(false);
    expect(wantsColours({ isTTY: true }, { NO_COLOR: '' })).toBe(true);
    expect(wantsColours({}, { FORCE_COLOR: '1' })).toBe(true);
    expect(wantsColours({ isTTY: true }, { TERM: 'dumb' })).toBe(false);
  });

  test('change nothing but the colour', () => {
    expect(renderStatus(report, false, colour)).not.toBe(renderStatus(report, false, plain));
    expect(stripVTControlCharacters(renderStatus(report, true, colour))).toBe(renderStatus(report, true, plain));
  });
});

describe('status', () => {
  const lines = renderStatus(report, false, plain).split('\n');

  test('leads with the verdict', () => {
    expect(lines[0]).toBe('● demo degraded  1 of 6 nodes is down.');
  });

  test('names the next command of every finding, and the running operation', () => {
    const text = lines.join('\n');
    expect(text).toContain('next: holdfast apply -f demo.yaml');
    expect(text).toContain('holdfast operations show op-1 --watch');
  });

  test('says once what several nodes have alike', () => {
    const alike = { severity: 'warning', code: 'links', message: 'a link is down', next: 'wait' } as const;
    const findings = [
      { ...alike, subject: 'demo-0-0' },
      { ...alike, code: 'other', subject: 'demo-0-0' },
      { ...alike, subject: 'demo-0-1' },
    ];
    expect(groupFindings(findings).map((f) => `${f.code} ${f.subject}`)).toEqual(['links demo-0-0, demo-0-1', 'other demo-0-0']);
  });

  test('shows each shard with its primary first', () => {
    const start = lines.findIndex((line) => line.startsWith('SHARD'));
    expect(lines[start + 1]).toMatch(/^0 +0-5460 +12 +demo-0-0 +primary +running +10\.0\.0\.2 +- +2 MiB \/ 96 MiB$/);
    expect(lines[start + 2]).toMatch(/^ +demo-0-1 +replica +stopped/);
  });

  test('of a cluster that is not there says how to make it', () => {
    const absent: StatusReport = { ...report, verdict: 'absent', headline: 'There is nothing of this name.', shards: [], findings: [] };
    expect(renderStatus(absent, false, plain)).toMatch(/absent.*\n +next: holdfast apply -f spec\.yaml$/);
  });

  test('as JSON and YAML is the report itself', () => {
    const table = () => 'table';
    expect(JSON.parse(renderOutput('json', report, table))).toEqual(report);
    expect(renderOutput('yaml', report, table)).toContain('verdict: degraded');
    expect(renderOutput('wide', report, (wide) => String(wide))).toBe('true');
  });
});

describe('progress', () => {
  test('shows every step with its mark, its time and a bar', () => {
    const text = frame(
      progress([
        step('make certificates', 'done', { tookMs: 800 }),
        step('start nodes', 'running', { startedAt: new Date(6900).toISOString(), done: 4, total: 6, unit: 'nodes' }),
        step('form the cluster', 'waiting'),
      ]),
    ).split('\n');
    expect(text[0]).toMatch(/✔ make certificates +800ms$/);
    expect(text[1]).toMatch(/▸ start nodes +3\.1s +█+░+ 4\/6 nodes$/);
    expect(text[2]).toMatch(/· form the cluster$/);
    expect(text[3]).toContain('working · step 2 of 3');
  });

  test('says how to go on from a pause, and who must approve', () => {
    expect(frame(progress([], { paused: true }))).toContain('holdfast operations resume op-1');
    expect(frame(progress([], { stage: 'approval', approval: { until: '2026-11-02T10:00:00Z' } }))).toContain(
      'holdfast operations approve op-1',
    );
  });

  test('keeps what runs in view when there are more steps than rows', () => {
    const steps = Array.from({ length: 40 }, (_, i) => step(`step ${i}`, i < 20 ? 'done' : i === 20 ? 'running' : 'waiting'));
    const { before, shown, after } = stepsInView(steps, 10);
    expect(shown.map((s) => s.name)).toContain('step 20');
    expect(before + shown.length + after).toBe(40);
    expect(frame(progress(steps), 10).split('\n').length).toBeLessThanOrEqual(11);
  });

  test('a bar is full at its total, and absent without one', () => {
    expect(renderBar({ done: 6, total: 6 }, plain)).toBe(`${'█'.repeat(20)} 6/6`);
    expect(renderBar({ done: 9, total: 6 }, plain)).toContain('█'.repeat(20));
    expect(renderBar({ done: 1 }, plain)).toBe('');
    expect(renderBar({ done: 0, total: 0 }, plain)).toBe('');
  });

  test('in a log is one line for each change', () => {
    const first = progress([step('a', 'running'), step('b', 'waiting')]);
    const second = progress([step('a', 'done', { tookMs: 1200, note: 'made 2' }), step('b', 'running')]);
    expect(progressLines(undefined, first)).toEqual(['a ...']);
    expect(progressLines(first, second)).toEqual(['a done in 1.2s: made 2', 'b ...']);
    expect(progressLines(second, second)).toEqual([]);
    expect(progressLines(second, { ...second, paused: true, warnings: ['mind'] })).toEqual(['warning: mind', 'paused']);
  });
});

describe('plan', () => {
  test('shows what each step changes, costs and how it is undone; and every refusal', () => {
    const text = renderPlan(
      {
        summary: 'Make demo.',
        steps: [{ name: 'start nodes', change: '6 containers', cost: '10 s', undo: 'remove them' }],
        refusals: ['no room'],
      },
      true,
      plain,
    );
    expect(text).toMatch(/^Make demo\.\n.*1\. start nodes {2}6 containers\n.*costs 10 s\n.*undo: remove them/);
    expect(text).toContain('✖ no room');
  });

  test('keeps within its screen, each column below its head; and parts no line where there is none', () => {
    const change = '1365 from shard 0 to 3; 1365 from shard 1 to 3; 1366 from shard 2 to 3';
    const plan = {
      summary: 'demo: 3 -> 4 shards',
      steps: [{ name: 'move slots', change, cost: 'commands on several keys of an open slot may be answered with TRYAGAIN' }],
      refusals: ['shard 2 has no primary: wait until it has one, or look at holdfast status demo'],
    };
    const lines = renderPlan(plan, false, plain, 60).split('\n');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(60);
    expect(lines).toContain('   1. move slots  1365 from shard 0 to 3; 1365 from shard 1');
    expect(lines).toContain('                  to 3; 1366 from shard 2 to 3');
    expect(lines).toContain('                  costs commands on several keys of an open');
    expect(lines).toContain('                        slot may be answered with TRYAGAIN');
    expect(lines).toContain('    at holdfast status demo');
    expect(renderPlan(plan, false, plain)).toContain(change);
    expect(renderPlan(plan, false, plain, 30)).toContain(change);
  });
});

describe('connect', () => {
  const user = { name: 'app', password: 's3cret/+' };

  test('keeps the password to itself unless asked', () => {
    const facts = connectionFacts(report, spec, user, {});
    expect(JSON.stringify(facts) + renderConnection(facts, 'CERT', plain)).not.toContain('s3cret');
    expect(renderConnection(facts, 'CERT', plain)).toContain('--show-password');
  });

  test('puts it into the URL in a form that a URL may have', () => {
    const facts = connectionFacts(report, spec, user, { password: user.password, caFile: '/tmp/ca.crt' });
    expect(facts.url).toBe('rediss://app:s3cret%2F%2B@10.0.0.2:6379');
    expect(renderConnection(facts, 'CERT', plain)).toContain('valkey-cli -h 10.0.0.2 -p 6379 -c --tls --cacert /tmp/ca.crt --user app');
    expect(renderConnection(facts, 'CERT', plain)).toContain('export VALKEYCLI_AUTH=');
  });
});
