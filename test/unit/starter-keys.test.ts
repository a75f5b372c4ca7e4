import { describe, expect, test } from 'vitest';
import type { KeyReport } from '../../config/keys.ts';
import { rotateKeysInput } from '../../config/operations.ts';
import { planRotateKeys } from '../../model/plan-rotate-keys.ts';
import { rotateKeysInputOf } from '../../starter/cli/commands/keys.ts';
import { createStyle } from '../../starter/cli/terminal.ts';
import { renderKeys } from '../../starter/cli/view/keys-view.ts';

const plain = createStyle(false);
const [current, former, stranger] = ['c'.repeat(16), 'f'.repeat(16), '5'.repeat(16)];
const key = (number: number, ...under: string[]) => ({ id: `00000${number}-0123456789abcdef`, under });
const report: KeyReport = {
  master: { current, others: [former] },
  clusters: [
    { cluster: 'billing', keys: [key(1, current)] },
    { cluster: 'orders', secrets: former, keys: [key(1, former), key(2, current)] },
  ],
};

describe('keys on the terminal', () => {
  test('are a row for each cluster, and a command for each that depends on another master key', () => {
    const shown = renderKeys(report, plain);
    expect(shown).toContain(`seals under master key ${current}, and opens with ${former}, too.`);
    expect(shown).toMatch(new RegExp(`billing +1 +000001-0123456789abcdef +${current}\\n`));
    expect(shown).toMatch(new RegExp(`orders +2 +000002-0123456789abcdef +${current}, ${former}\\n`));
    expect(shown).toContain(
      `1 cluster is not sealed under ${current} alone. When every worker seals under it:\n  next: holdfast keys rotate orders`,
    );
    expect(shown).not.toContain('rotate billing');
    expect(shown).not.toContain('not here');
  });

  test('under a master key that nobody has are named', () => {
    const shown = renderKeys({ ...report, clusters: [{ cluster: 'old', keys: [key(1, stranger)] }] }, plain);
    expect(shown).toContain("not here: a master key of old. Add it to the workers' master keys.");
    expect(shown).not.toContain('next:');
    const beside = renderKeys({ ...report, clusters: [{ cluster: 'old', keys: [key(1, current, stranger)] }] }, plain);
    expect(beside).not.toContain('not here'); // it opens
  });

  test('of a cluster that is gone need no new one', () => {
    const shown = renderKeys({ ...report, clusters: [{ cluster: 'gone', keys: [key(1, former)] }] }, plain);
    expect(shown).toContain('next: holdfast keys rotate gone --no-new-key');
  });

  test('none at all says so', () => {
    expect(renderKeys({ master: { current, others: [] }, clusters: [] }, plain)).toBe(
      `The worker seals under master key ${current}.\nNothing is sealed of any cluster yet.`,
    );
  });

  test('a new one is made unless it is said otherwise', () => {
    const shared = { output: 'table' as const, watch: true, whenBusy: 'fail' as const };
    expect(rotateKeysInput.parse(rotateKeysInputOf('demo', { ...shared, newKey: true }))).toMatchObject({ cluster: 'demo', newKey: true });
    expect(rotateKeysInput.parse(rotateKeysInputOf('demo', { ...shared, newKey: false }))).toMatchObject({ newKey: false });
    expect(rotateKeysInput.parse({ cluster: 'demo' })).toMatchObject({ newKey: true });
  });
});

describe('a plan for keys', () => {
  const [, orders] = report.clusters;
  const plan = (newKey: boolean, found = orders) =>
    planRotateKeys({ newKey }, { master: report.master, cluster: 'none', keys: [], ...found });

  test('counts what changes its master key, and says what that costs', () => {
    const { steps, summary, under } = plan(true);
    expect(steps.map(({ name }) => name)).toEqual(['make a new key', 'seal the keys under the master key', 'open them with it']);
    expect(steps[0]?.change).toContain('2 keys stay for what is there');
    expect(steps[1]).toMatchObject({
      change: `1 key and the secrets of orders under ${current}, and not under ${former} any more`,
      cost: expect.stringContaining('has not got the new master key yet'),
    });
    expect(summary).toBe(`orders: a new key, and 1 key and the secrets under master key ${current}`);
    expect(under).toBe(current);
  });

  test('a copy that is left under a former master key goes, too', () => {
    const both = plan(false, { cluster: 'orders', keys: [key(1, current, former)] });
    expect(both.steps.map(({ name }) => name)).toEqual(['seal the keys under the master key', 'open them with it']);
  });

  test('has nothing to do when everything is as it should be; also beside copies under a master key of others', () => {
    const { steps, refusals, summary } = plan(false, { cluster: 'orders', secrets: current, keys: [key(1, current, stranger)] });
    expect([steps, refusals, summary]).toEqual([[], [], `orders: everything is sealed under master key ${current}`]);
  });

  test('refuses what no worker can open, and says what to add', () => {
    const { refusals } = plan(true, { cluster: 'orders', secrets: stranger, keys: [key(1, stranger), key(2, current)] });
    expect(refusals).toHaveLength(2);
    expect(refusals[0]).toMatch(
      new RegExp(`^key 000001-0123456789abcdef of orders is sealed under master key ${stranger}, .*line of its own`),
    );
    expect(refusals[1]).toMatch(/^the secrets of orders are sealed/);
    const none = plan(true, { cluster: 'orders', secrets: stranger, keys: [] });
    expect(none.steps.map(({ change }) => change)).toEqual([
      'what is stored of orders from now on is sealed under it',
      `the secrets of orders under ${current}`,
      `each, with master key ${current} alone`,
    ]);
  });
});
