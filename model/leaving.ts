import type { ClusterSpec } from '../config/cluster-spec.ts';
import { nodeIdOf, placesOf } from './layout.ts';
import { answered, type Observation } from './observation.ts';
import { quorumOf } from './server-conf.ts';
import { countSlots, SLOTS } from './slots.ts';
import { count } from './words.ts';

/** Names of data nodes that shall leave. */
export interface Leaving {
  /** Of before, or the larger one of before and after: it names every node that leaves. */
  readonly spec: ClusterSpec;
  readonly clusterId: string;
  readonly nodes: readonly string[];
  /** They came with the operation that is being undone, and never had slots: one that is silent holds nothing. */
  readonly fresh?: boolean;
}

/** What one sentinel says of the primary that it watches. */
export interface SentinelWord {
  readonly name: string;
  readonly primaryAddress: string;
  /** Of the primary, such as `o_down` and `failover_in_progress`. */
  readonly flags: readonly string[];
  readonly replicas: readonly { readonly address: string; readonly priority: number; readonly flags: readonly string[] }[];
}

const idsOf = ({ clusterId, nodes }: Leaving): ReadonlyMap<string, string> =>
  new Map(nodes.map((name) => [nodeIdOf(clusterId, name), name]));

/** Leaving nodes whose container exists, running or not, and that do not answer; each as the nodes that stay see it, when they know it still. */
function silentMembers(leaving: Leaving, { containers, nodes, views }: Observation) {
  const ids = idsOf(leaving);
  const answers = new Set(nodes.filter(answered).map(({ name }) => name));
  const members = views
    .filter(({ seenBy }) => seenBy.some((name) => !leaving.nodes.includes(name)))
    .flatMap((view) => view.members.map((member) => ({ ...member, name: ids.get(member.nodeId) })));
  return containers
    .filter(({ name }) => leaving.nodes.includes(name) && !answers.has(name))
    .map(({ name }) => ({ name, seenAs: members.filter((member) => member.name === name) }));
}

const nobodyKnows = (name: string) => `${name} does not answer, and nobody knows what it holds (docker logs ${name})`;

/**
 * Why shards that leave may not be forgotten yet; nothing, when all 16384 slots are owned by nodes that stay, in every node's view, and no key is
 * left on a node of those shards. Other nodes that leave are replicas, and have their shard's keys.
 */
export function whyNotEmptied(leaving: Leaving, shards: readonly number[], observation: Observation): readonly string[] {
  const ids = idsOf(leaving);
  const emptied = new Set(
    placesOf(leaving.spec)
      .filter(({ shard }) => shards.includes(shard))
      .map(({ name }) => name),
  );
  const nodes = observation.nodes.filter(answered);
  const owned = observation.views.map(({ members, seenBy }) => ({
    seenBy,
    slots: members.filter(({ nodeId }) => !ids.has(nodeId)).reduce((sum, member) => sum + countSlots(member.slots), 0),
  }));
  return [
    ...owned
      .filter(({ slots }) => slots !== SLOTS)
      .map(({ seenBy, slots }) => `${seenBy.join(', ')} sees ${slots} of ${SLOTS} slots with those that stay`),
    ...(owned.length === 0 ? ['no node answers'] : []),
    ...nodes.filter(({ name, keys }) => emptied.has(name) && keys > 0).map(({ name, keys }) => `${name} still holds ${count(keys, 'key')}`),
    ...nodes.filter(({ openSlots }) => openSlots.length > 0).map(({ name }) => `${name} has open slots`),
    ...silentMembers(leaving, observation)
      .filter(({ seenAs }) => seenAs.some(({ role }) => role === 'primary'))
      .map(({ name }) => nobodyKnows(name)),
  ];
}

/** Why nodes may not be forgotten. */
export interface Unforgettable {
  /** They hold what nobody else has: that does not pass by itself. */
  readonly holds: readonly string[];
  /** They do not answer, which may pass: a primary must, and a replica must be as silent to the others, which would elect it. */
  readonly silent: readonly string[];
}

/**
 * What stands against forgetting nodes and deleting them: one of them is a primary and holds something, or may become one. Replicas have the keys of
 * their primary, which stays or was emptied.
 */
export function whyNotForgotten(leaving: Leaving, observation: Observation): Unforgettable {
  const ids = idsOf(leaving);
  const owners = new Map(
    observation.views
      .flatMap(({ members }) => members)
      .filter(({ nodeId, slots }) => ids.has(nodeId) && slots.length > 0)
      .map(({ nodeId, slots }) => [ids.get(nodeId), countSlots(slots)]),
  );
  const primaries = observation.nodes.filter(answered).filter(({ name, role }) => leaving.nodes.includes(name) && role === 'primary');
  return {
    holds: [
      ...[...owners].map(([name, slots]) => `${name} still owns ${count(slots, 'slot')}`),
      ...primaries.filter(({ keys }) => keys > 0).map(({ name, keys }) => `${name} is a primary and still holds ${count(keys, 'key')}`),
      ...primaries.filter(({ openSlots }) => openSlots.length > 0).map(({ name }) => `${name} is a primary and has open slots`),
    ],
    silent: silentMembers(leaving, observation)
      .filter(({ seenAs }) => seenAs.some(({ role, flags }) => (role === 'primary' ? leaving.fresh !== true : flags.length === 0)))
      .map(({ name }) => nobodyKnows(name)),
  };
}

/** What the sentinels and the nodes say about the retirement of some nodes. */
export interface Retired {
  /** A leaving node that is the primary, by its own word and that of most sentinels. */
  readonly primary?: string;
  /** Why it is not certain yet that none of them is the primary, or becomes it. */
  readonly uncertain: readonly string[];
}

/**
 * Sentinel mode: whether one that stays is the primary, by its own word and that of most sentinels, and no sentinel that answers would choose a
 * leaving one. Sentinels hear of a priority with the INFO that they ask for every ten seconds; one that was chosen before that shows in a failover
 * that is still in progress.
 */
export function whyNotRetired(leaving: Leaving, observation: Observation, words: readonly SentinelWord[]): Retired {
  const { spec, nodes } = leaving;
  const leaves = observation.containers.filter(({ name }) => nodes.includes(name));
  const answers = new Map(observation.nodes.filter(answered).map((node) => [node.name, node]));
  const primaries = [...answers.values()].filter(({ role }) => role === 'primary');
  const namedBy = Map.groupBy(words, ({ primaryAddress }) => primaryAddress);
  const [named] = [...namedBy].filter(([, by]) => by.length >= quorumOf(spec));
  const primary = primaries.find(({ address }) => address === named?.[0]);
  if (primary !== undefined && nodes.includes(primary.name)) return { primary: primary.name, uncertain: [] };
  const uncertain = [
    ...(primary === undefined ? ['no node that stays is the primary by its own word and that of most sentinels'] : []),
    ...primaries.filter(({ name }) => nodes.includes(name)).map(({ name }) => `${name} says that it is a primary`),
    ...leaves.flatMap(({ name, address }) =>
      (namedBy.get(address) ?? []).map((sentinel) => `${sentinel.name} takes ${name} for the primary`),
    ),
    ...words
      .filter(({ flags }) => flags.some((flag) => flag === 'o_down' || flag === 'failover_in_progress'))
      .map(({ name }) => `${name} is about to fail over`),
    ...leaves.flatMap(({ name, address }) =>
      words
        .filter(({ replicas }) => replicas.some((one) => one.address === address && !isOut(one, answers.has(name))))
        .map((sentinel) => `${sentinel.name} may still choose ${name}`),
    ),
  ];
  return { uncertain };
}

/** A silent node cannot be given a priority: it must be as silent to the sentinels. */
const isOut = ({ priority, flags }: SentinelWord['replicas'][number], answers: boolean): boolean =>
  priority === 0 || (!answers && flags.some((flag) => flag === 's_down' || flag === 'disconnected'));
