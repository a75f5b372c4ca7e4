import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { type ClusterSpec, parseBytes } from '../config/cluster-spec.ts';
import { nodeName, sentinelName } from '../config/names.ts';
import { addressAt, usableOffsets } from './subnets.ts';

/** A node as the spec wants it: where it stands, not what role it has. */
export interface NodePlace {
  readonly name: string;
  readonly kind: 'data' | 'sentinel';
  /** -1 for a sentinel. */
  readonly shard: number;
  readonly ordinal: number;
}

/** Each shard keeps room for this many nodes, so that addresses stay when replicas come and go. */
const NODES_A_SHARD = 6;
const FIRST_SENTINEL = 2;
const FIRST_DATA = 16;

/** All nodes that a spec asks for: data nodes by shard and ordinal, then sentinels. */
export function placesOf(spec: ClusterSpec): readonly NodePlace[] {
  const data = Array.from({ length: spec.shards }, (_, shard) =>
    Array.from({ length: 1 + spec.replicasPerShard }, (__, ordinal) => ({
      name: nodeName(spec.name, shard, ordinal),
      kind: 'data' as const,
      shard,
      ordinal,
    })),
  ).flat();
  const sentinels = Array.from({ length: spec.sentinels }, (_, ordinal) => ({
    name: sentinelName(spec.name, ordinal),
    kind: 'sentinel' as const,
    shard: -1,
    ordinal,
  }));
  return [...data, ...sentinels];
}

/** The pinned address of a node in its cluster's subnet. */
export function addressOf(place: NodePlace, subnet: string): string {
  return addressAt(
    subnet,
    place.kind === 'sentinel' ? FIRST_SENTINEL + place.ordinal : FIRST_DATA + place.shard * NODES_A_SHARD + place.ordinal,
  );
}

/** Addresses at the end of a subnet that are for guests: workers in containers, applications. No node is ever given one of them. */
const GUESTS = 16;

/** The longest prefix of a subnet that has room for every node of the spec, and for guests. */
export function prefixFor(spec: ClusterSpec): number {
  return 32 - Math.ceil(Math.log2(FIRST_DATA + spec.shards * NODES_A_SHARD + GUESTS));
}

/** The block of a subnet that the engine may take addresses from on its own. */
export function guestRange(subnet: string): string {
  return `${addressAt(subnet, usableOffsets(subnet) + 2 - GUESTS)}/${32 - Math.log2(GUESTS)}`;
}

/** The address of a guest by a number. The last one of a subnet is nobody's. */
export const guestAddress = (subnet: string, number: number): string =>
  addressAt(subnet, usableOffsets(subnet) + 2 - GUESTS + (number % (GUESTS - 1)));

/** What a node's container may use. A sentinel holds no data, and needs little whatever the spec gives to nodes that do. */
export function limitsOf(spec: ClusterSpec, kind: NodePlace['kind']): { readonly memoryBytes: number; readonly cpus: number } {
  const memoryBytes = parseBytes(spec.resources.memory);
  return kind === 'data'
    ? { memoryBytes, cpus: spec.resources.cpus }
    : { memoryBytes: Math.min(memoryBytes, SENTINEL_BYTES), cpus: Math.min(1, spec.resources.cpus) };
}

const SENTINEL_BYTES = 64 * 1024 ** 2;

/** CPUs in the engine's unit. */
export const nanoCpus = (cpus: number): number => Math.round(cpus * 1e9);

/** Node ids are made from the cluster's own id, so that every attempt to create a node gives it the same one. 40 hex digits. */
export const nodeIdOf = (clusterId: string, node: string): string => digest(`node/${clusterId}/${node}`).slice(0, 40);

/** Where each node of a spec is, by its node id. */
export const placesById = (spec: ClusterSpec, clusterId: string): ReadonlyMap<string, NodePlace> =>
  new Map(placesOf(spec).map((place) => [nodeIdOf(clusterId, place.name), place]));

/** Shard ids, likewise. All nodes of a shard must agree on it from the start. */
export const shardIdOf = (clusterId: string, shard: number): string => digest(`shard/${clusterId}/${shard}`).slice(0, 40);

/** SHA-256, in hex. */
export const digest = (text: string): string => bytesToHex(sha256(utf8ToBytes(text)));

/** A digest of a spec that does not depend on the order of its fields. Kept in labels, to tell drift. 16 hex digits. */
export const specHash = (spec: ClusterSpec): string => digest(canonicalJson(spec)).slice(0, 16);

/** JSON with the keys of every object in order. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
