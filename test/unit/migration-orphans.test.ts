import { describe, expect, test } from 'vitest';
import { nodeIdOf } from '../../model/layout.ts';
import { orphans } from '../../model/migration/orphans.ts';
import type { Observation } from '../../model/observation.ts';
import { CLUSTER_ID, healthyObservation, silenced, specOf, withMembers, withNode } from './model-observations.ts';

const spec = specOf({ shards: 3, replicasPerShard: 1 });
const name = (shard: number, ordinal: number) => `${spec.name}-${shard}-${ordinal}`;
const id = (shard: number, ordinal: number) => nodeIdOf(CLUSTER_ID, name(shard, ordinal));
const find = (observation: Observation) => orphans(spec, CLUSTER_ID, observation);

/** The primary of the last shard has died; its replica leads, and had heard of all its slots but the last ten. */
function failedOver(): Observation {
  const dead = silenced(withNode(healthyObservation(spec), name(2, 1), { role: 'primary' }), name(2, 0));
  return withMembers(dead, (member) => {
    if (member.nodeId === id(2, 0)) return { ...member, flags: ['fail'], slots: [[16_374, 16_383]] };
    return member.nodeId === id(2, 1) ? { ...member, role: 'primary', primaryId: '', slots: [[10_922, 16_373]] } : member;
  });
}

describe('slots that nobody serves', () => {
  test('are none in a healthy cluster', () => {
    expect(find(healthyObservation(spec))).toEqual([]);
  });

  test('are those that a promoted replica had not heard of', () => {
    expect(find(failedOver())).toEqual([{ shard: 2, failedId: id(2, 0), slots: Array.from({ length: 10 }, (_, i) => 16_374 + i) }]);
  });

  test('are not those of a primary that is only taken for away by some', () => {
    expect(find(withMembers(failedOver(), (member) => ({ ...member, flags: member.flags.map(() => 'fail?') })))).toEqual([]);
  });

  test('are not taken from a failed primary before another one leads', () => {
    const dead = silenced(healthyObservation(spec), name(2, 0));
    expect(find(withMembers(dead, (member) => (member.nodeId === id(2, 0) ? { ...member, flags: ['fail'] } : member)))).toEqual([]);
  });

  test('are those that only their primary itself takes for nobody’s', () => {
    const all = healthyObservation(spec);
    const [view] = all.views;
    if (view === undefined) throw new Error('nobody sees anything');
    const others = { ...view, seenBy: view.seenBy.filter((one) => one !== name(1, 0)) };
    const forgetful = {
      ...view,
      seenBy: [name(1, 0)],
      members: view.members.map((member) => (member.nodeId === id(1, 0) ? { ...member, slots: [[5461, 10_919] as const] } : member)),
    };
    const slots = view.members.find(({ nodeId }) => nodeId === id(1, 0))?.slots;
    expect(slots).toEqual([[5461, 10_921]]);
    expect(find({ ...all, views: [others, forgetful] })).toEqual([{ shard: 1, slots: [10_920, 10_921] }]);
  });
});
