import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Followable, goOn, type StreamPlace } from '../../model/recovery/going-on.ts';

const [A, B, C] = ['a', 'b', 'c'].map((letter) => letter.repeat(40)) as [string, string, string];
const node = (role: Followable['role'], replid: string, offset: number, more: Partial<StreamPlace> = {}): Followable => ({
  role,
  place: { replid, offset, keepsFrom: 0, ...more },
});
const at = (offset: number, earliest = 0) => ({ replid: A, offset, earliest });

describe('an archive goes on', () => {
  test('with a replica that is as far, rather than with the primary', () => {
    const [replica, primary] = [node('replica', A, 100), node('primary', A, 120)];
    expect(goOn(at(100), [replica, primary], false)).toEqual({ how: 'follow', node: replica, from: 100, dropped: 0 });
    expect(goOn(at(110), [replica, primary], false)).toEqual({ how: 'follow', node: primary, from: 110, dropped: 0 });
    expect(goOn(at(110), [replica, primary], true)).toMatchObject({ how: 'wait' });
  });

  test('under the next id after a failover, when the new primary had all of it', () => {
    const primary = node('primary', B, 130, { former: { replid: A, upTo: 110 } });
    expect(goOn(at(110), [primary], false)).toEqual({ how: 'follow', node: primary, from: 110, dropped: 0 });
  });

  test('where a failover took over, when that dropped writes that were archived, and says how much', () => {
    const primary = node('primary', B, 130, { former: { replid: A, upTo: 90 } });
    expect(goOn(at(110), [primary], false)).toEqual({ how: 'follow', node: primary, from: 90, dropped: 20 });
    const replica = node('replica', B, 125, { former: { replid: A, upTo: 90 } });
    expect(goOn(at(110), [replica, primary], false)).toEqual({ how: 'follow', node: replica, from: 90, dropped: 20 });
  });

  test('anew when that lies before its beginning, or is kept no more', () => {
    const former = { replid: A, upTo: 90 };
    expect(goOn(at(110, 95), [node('primary', B, 130, { former })], false)).toEqual({ how: 'anew', because: 'diverged', upTo: 90 });
    expect(goOn(at(110), [node('primary', B, 130, { former, keepsFrom: 100 })], false)).toEqual({
      how: 'anew',
      because: 'diverged',
      upTo: 90,
    });
  });

  test('anew after a gap, and when the primary began another stream', () => {
    expect(goOn(at(100), [node('primary', A, 500, { keepsFrom: 101 })], false)).toEqual({ how: 'anew', because: 'gap', upTo: 100 });
    expect(goOn(at(100), [node('primary', C, 20)], false)).toEqual({ how: 'anew', because: 'new-primary', upTo: 100 });
    const { keepsFrom: _, ...nothingKept } = node('primary', A, 100).place;
    expect(goOn(at(100), [{ role: 'primary', place: nothingKept }], false)).toMatchObject({ how: 'anew', because: 'gap' });
  });

  test('later, while no primary answers: a replica that was started again says nothing about the shard', () => {
    expect(goOn(at(100), [node('replica', A, 500, { keepsFrom: 400 })], false)).toMatchObject({ how: 'wait' });
    expect(goOn(at(100), [], false)).toMatchObject({ how: 'wait' });
    expect(goOn(at(100), [node('primary', A, 90)], false)).toMatchObject({ how: 'wait' });
  });

  test('never further on than it has come, never where a node has nothing, and never back for nothing', () => {
    const place = fc.record({
      role: fc.constantFrom('primary' as const, 'replica' as const),
      replid: fc.constantFrom(A, B),
      offset: fc.nat({ max: 200 }),
      former: fc.option(fc.record({ replid: fc.constantFrom(A, C), upTo: fc.nat({ max: 200 }) }), { nil: undefined }),
      keepsFrom: fc.option(fc.nat({ max: 200 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(
        fc.array(place, { maxLength: 4 }),
        fc.nat({ max: 200 }),
        fc.nat({ max: 200 }),
        fc.boolean(),
        (places, offset, earliest, patient) => {
          const nodes = places.map(({ role, replid, offset: has, former, keepsFrom }) =>
            node(role, replid, has, {
              ...(former === undefined ? {} : { former }),
              ...(keepsFrom === undefined ? { keepsFrom: 1e9 } : { keepsFrom }),
            }),
          );
          const next = goOn({ replid: A, offset: Math.max(offset, earliest), earliest }, nodes, patient);
          if (next.how !== 'follow') return;
          expect(next.from + next.dropped).toBe(Math.max(offset, earliest));
          expect(next.from).toBeGreaterThanOrEqual(earliest);
          const { replid, former, keepsFrom = 0, offset: has } = next.node.place;
          expect(keepsFrom).toBeLessThanOrEqual(next.from);
          expect((replid === A && has >= next.from) || (former?.replid === A && former.upTo >= next.from)).toBe(true);
          if (next.dropped > 0)
            expect(
              nodes.some(({ role, place: { former: before } }) => role === 'primary' && before?.replid === A && before.upTo === next.from),
            ).toBe(true);
        },
      ),
      { numRuns: 1000 },
    );
  });
});
