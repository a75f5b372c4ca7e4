import { describe, expect, test } from 'vitest';
import { nodeIdOf } from '../../model/layout.ts';
import { unheard } from '../../model/migration/unheard.ts';
import type { ClusterMember, Observation } from '../../model/observation.ts';
import { CLUSTER_ID, healthyObservation, specOf, withMembers, withNode } from './model-observations.ts';

const spec = specOf({ shards: 3, replicasPerShard: 1 });
const name = (shard: number, ordinal: number) => `${spec.name}-${shard}-${ordinal}`;
const id = (shard: number, ordinal: number) => nodeIdOf(CLUSTER_ID, name(shard, ordinal));
const find = (observation: Observation) => unheard(spec, CLUSTER_ID, observation);

/** The first shard has failed over; the second one's primary takes slot 7, and has heard of all slots but that one. */
function failedOver(sees7: Partial<ClusterMember>): Observation {
  const led = withMembers(withNode(healthyObservation(spec), name(0, 1), { role: 'primary' }), (member) => {
    if (member.nodeId === id(0, 0)) return { ...member, role: 'replica', primaryId: id(0, 1), slots: [] };
    return member.nodeId === id(0, 1) ? { ...member, role: 'primary', primaryId: '', slots: [[0, 5460]] } : member;
  });
  const all = withNode(withNode(led, name(0, 0), { role: 'replica' }), name(1, 0), { clusterState: 'fail' });
  const [view] = all.views;
  if (view === undefined) throw new Error('nobody sees anything');
  const others = { ...view, seenBy: view.seenBy.filter((one) => one !== name(1, 0)) };
  const itself = withMembers(all, (member) => {
    if (member.nodeId === id(0, 1)) return { ...member, slots: [[0, 6] as const, [8, 5460] as const] };
    return member.nodeId === id(0, 0) ? { ...member, ...sees7 } : member;
  });
  const own = { digest: 'its own', members: itself.views[0]?.members ?? [], seenBy: [name(1, 0)] };
  return { ...all, views: [others, own] };
}

const told = [{ node: expect.objectContaining({ name: name(1, 0), nodeId: id(1, 0) }), ownerId: id(0, 1), slots: [7] }];

describe('slots of which a primary knows no owner', () => {
  test('are none in a healthy cluster', () => {
    expect(find(healthyObservation(spec))).toEqual([]);
  });

  test('are those that it holds for nobody’s', () => {
    expect(find(failedOver({}))).toEqual(told);
  });

  test('and those that it holds for a failed node’s', () => {
    expect(find(failedOver({ role: 'primary', primaryId: '', flags: ['fail'], slots: [[7, 7]] }))).toEqual(told);
  });

  test('and those that it holds for nobody’s while it serves others, as its settings may allow', () => {
    expect(find(withNode(failedOver({}), name(1, 0), { clusterState: 'ok' }))).toEqual(told);
  });

  test('but not those of a failed node, while it serves: it may hear of them by itself', () => {
    const all = failedOver({ role: 'primary', primaryId: '', flags: ['fail'], slots: [[7, 7]] });
    expect(find(withNode(all, name(1, 0), { clusterState: 'ok' }))).toEqual([]);
  });

  test('nor those that it knows, of a node that it takes for failed still', () => {
    const all = failedOver({});
    const views = all.views.map((view) => ({
      ...view,
      members: view.members.map((member) =>
        member.nodeId === id(0, 1) ? { ...member, flags: ['fail'], slots: [[0, 5460] as const] } : member,
      ),
    }));
    expect(find({ ...all, views })).toEqual([]);
  });

  test('nor those that it takes for another primary’s', () => {
    expect(find(failedOver({ role: 'primary', primaryId: '', slots: [[7, 7]] }))).toEqual([]);
  });
});
