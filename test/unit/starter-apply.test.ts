import { describe, expect, test } from 'vitest';
import { type ClusterSpecInput, clusterSpec } from '../../config/cluster-spec.ts';
import { chooseOperation } from '../../starter/cli/commands/apply.ts';
import { chooseNode, chooseUser } from '../../starter/cli/commands/connect.ts';
import { doctorExitCode } from '../../starter/cli/commands/doctor.ts';
import { statusExitCode } from '../../starter/cli/commands/reads.ts';
import { exitCodes } from '../../starter/cli/exit-codes.ts';

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
    expect(() => chooseUser([operator], 'holdfast', 'demo', undefined)).toThrow(/security\.users/);
    expect(chooseUser([operator], 'holdfast', 'demo', 'holdfast')).toBe(operator);
    expect(chooseUser([{ name: 'app', password: 'y' }, operator], 'holdfast', 'demo', undefined).name).toBe('app');
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
  ] as const)('status of %j ends with %i', (verdicts, code) => {
    expect(statusExitCode(verdicts.map((verdict) => ({ verdict })))).toBe(code);
  });

  test('doctor fails for what failed, not for warnings', () => {
    const check = (state: 'ok' | 'warning' | 'failed') => ({ name: 'x', state, found: '' });
    expect(doctorExitCode([check('ok'), check('warning')])).toBe(exitCodes.ok);
    expect(doctorExitCode([check('ok'), check('failed')])).toBe(exitCodes.unreachable);
  });
});
