import { describe, expect, test } from 'vitest';
import { type ClusterSpecInput, clusterSpec } from '../../config/cluster-spec.ts';
import type { ClusterSummary } from '../../config/status.ts';
import { chooseOperation } from '../../starter/cli/commands/apply.ts';
import { chooseNode, chooseUser } from '../../starter/cli/commands/connect.ts';
import { doctorExitCode } from '../../starter/cli/commands/doctor.ts';
import { cancelNotice, pauseNotice } from '../../starter/cli/commands/operations.ts';
import { askAll, renderAnswers, statusExitCode } from '../../starter/cli/commands/reads.ts';
import { exitCodes } from '../../starter/cli/exit-codes.ts';
import { createStyle } from '../../starter/cli/terminal.ts';
import { OperationFailed } from '../../starter/client/errors.ts';

const spec = (more: Partial<ClusterSpecInput> = {}) => clusterSpec.parse({ name: 'demo', engine: 'valkey', version: '9.1', ...more });

describe('apply', () => {
  test('makes a cluster that is not there', () => {
    expect(chooseOperation({ verdict: 'absent' }, spec())).toBe('provision');
  });

  test('completes a cluster that no keeper holds', () => {
    expect(chooseOperation({ verdict: 'degraded' }, spec())).toBe('provision');
    expect(chooseOperation({ verdict: 'degraded', spec: spec() }, spec())).toBe('provision');
  });

  test.each(['degraded', 'down'] as const)('completes a cluster that has this spec and is %s', (verdict) => {
    expect(chooseOperation({ verdict, spec: spec(), generation: 1 }, spec())).toBe('provision');
  });

  test('changes a cluster that has another spec, whatever its health', () => {
    const wanted = spec({ config: { hz: 20 } });
    for (const verdict of ['healthy', 'degraded', 'down'] as const)
      expect(chooseOperation({ verdict, spec: spec(), generation: 1 }, wanted)).toBe('configure');
  });

  test('lets configure say that a healthy cluster has this spec already', () => {
    expect(chooseOperation({ verdict: 'healthy', spec: spec(), generation: 3 }, spec())).toBe('configure');
  });

  test('does not take the order of keys for a difference', () => {
    const kept = spec({ labels: { a: '1', b: '2' } });
    const wanted = spec({ labels: { b: '2', a: '1' } });
    expect(chooseOperation({ verdict: 'degraded', spec: kept, generation: 1 }, wanted)).toBe('provision');
  });
});

describe('connect', () => {
  const node = (name: string, role: 'primary' | 'replica', state: 'running' | 'stopped' = 'running') =>
    ({ name, role, state, kind: 'data', host: 'local', address: '10.0.0.1' }) as const;
  const report = (...nodes: ReturnType<typeof node>[]) => ({ cluster: 'demo', shards: [{ shard: 0, slots: [], slotCount: 0, nodes }] });

  test('prefers a primary that runs, then anything that runs', () => {
    expect(chooseNode(report(node('a', 'replica'), node('b', 'primary')), undefined)).toBe('b');
    expect(chooseNode(report(node('a', 'replica'), node('b', 'primary', 'stopped')), undefined)).toBe('a');
    expect(() => chooseNode(report(node('b', 'primary', 'stopped')), undefined)).toThrow(/No node of demo runs.*holdfast status demo/);
  });

  test('names the nodes when the one asked for is not there', () => {
    expect(() => chooseNode(report(node('a', 'primary')), 'z')).toThrow(/no node "z".*: a/);
  });

  test('never takes the operator unasked', () => {
    const operator = { name: 'holdfast', password: 'x' };
    const alone = { users: [operator], unreadable: [] };
    expect(() => chooseUser(alone, 'holdfast', 'demo', undefined)).toThrow(/security\.users/);
    expect(chooseUser(alone, 'holdfast', 'demo', 'holdfast')).toBe(operator);
    const users = [{ name: 'app', password: 'y' }, operator];
    expect(chooseUser({ users, unreadable: [] }, 'holdfast', 'demo', undefined).name).toBe('app');
  });

  test('one user whose password cannot be read here stands in the way of nobody else', () => {
    const users = [{ name: 'app', password: 'y' }];
    const unreadable = [{ name: 'ops', why: 'user ops: secret env:OPS cannot be read' }];
    const choose = (wanted?: string) => chooseUser({ users, unreadable }, 'holdfast', 'demo', wanted).name;
    expect(choose()).toBe('app');
    expect(choose('app')).toBe('app');
    expect(() => choose('ops')).toThrow(/^user ops: secret env:OPS cannot be read\. .*--user\): app$/);
    expect(() => choose('eve')).toThrow(/no user "eve"\. Its users: app, ops/);
    expect(() => chooseUser({ users: [], unreadable }, 'holdfast', 'demo', undefined)).toThrow(/env:OPS/);
  });
});

describe('exit codes of reads', () => {
  test.each([
    [['healthy'], exitCodes.ok],
    [['healthy', 'healthy'], exitCodes.ok],
    [['healthy', 'degraded'], exitCodes.unhealthy],
    [['down'], exitCodes.unhealthy],
    [['absent'], exitCodes.notFound],
    [[], exitCodes.ok],
    [['healthy', 'unreachable'], exitCodes.unreachable],
    [['unreachable'], exitCodes.unreachable],
    [['degraded', 'unreachable'], exitCodes.unhealthy],
  ] as const)('status of %j ends with %i', (verdicts, code) => {
    expect(statusExitCode(verdicts.map((verdict) => ({ verdict })))).toBe(code);
  });

  test('status of all shows those that answer, and why another does not', async () => {
    const summary = (cluster: string, state: ClusterSummary['state']): ClusterSummary => ({ cluster, state, running: 6, containers: 6 });
    const answers = await askAll({
      list: async () => [summary('far', 'unreachable'), summary('good', 'kept'), summary('odd', 'kept')],
      status: async (cluster) => {
        if (cluster === 'odd') throw new OperationFailed('HostUnreachable', 'the engine is away\nmore', 'x', []);
        return { cluster, verdict: 'healthy', headline: 'fine', observedAt: '', findings: [], shards: [], sentinels: [], journal: [] };
      },
    });
    expect(answers.map(({ cluster, verdict }) => `${cluster} ${verdict}`)).toEqual(['far unreachable', 'good healthy', 'odd unreachable']);
    const table = renderAnswers(answers, 'table', createStyle(false));
    expect(table).toMatch(/^far +unreachable +- +no worker of its host answers.*holdfast worker$/m);
    expect(table).toMatch(/^good +healthy +- +fine$/m);
    expect(table).toMatch(/^odd +unreachable +- +HostUnreachable: the engine is away$/m);
  });

  test('doctor fails for what failed, not for warnings', () => {
    const check = (state: 'ok' | 'warning' | 'failed') => ({ name: 'x', state, found: '' });
    expect(doctorExitCode([check('ok'), check('warning')])).toBe(exitCodes.ok);
    expect(doctorExitCode([check('ok'), check('failed')])).toBe(exitCodes.unreachable);
  });
});

test('whoever cancels is told what is undone, and that a deprovision undoes nothing', () => {
  const notice = (operation: string) => cancelNotice({ operation, workflowId: 'op-1', cluster: 'demo' });
  expect(notice('provision')).toMatch(/is undone where it can be/);
  expect(notice('deprovision')).toMatch(/stays removed\. Remove the rest: holdfast deprovision demo/);
  expect(notice('deprovision')).not.toContain('undone');
  expect(notice('rebalance')).toMatch(/stops between two groups, with no slot open; slots that have moved by then stay where they are/);
});

test('whoever pauses is told that a move of slots does not wait for the end of its step', () => {
  expect(pauseNotice({ operation: 'configure', workflowId: 'op-1' })).toBe(
    'It stops before its next step. Go on with: holdfast operations resume op-1',
  );
  expect(pauseNotice({ operation: 'scale', workflowId: 'op-1' })).toMatch(/a move of slots stops between two groups, .*resume op-1$/);
});
