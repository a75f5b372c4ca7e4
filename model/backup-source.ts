import type { ClusterSpec } from '../config/cluster-spec.ts';
import { nodeIdOf, placesOf } from './layout.ts';
import { answered, type Observation } from './observation.ts';
import { formatRange } from './slots.ts';

/** A node that a shard's data can be read from. */
export interface BackupSource {
  readonly name: string;
  readonly address: string;
  readonly role: 'primary' | 'replica';
  readonly engine: 'redis' | 'valkey';
  readonly version: string;
  /** What its data takes in memory. An RDB of it is hardly ever larger. */
  readonly memoryBytes: number;
}

/** A shard with where to read it, best first. */
export interface ShardSources {
  readonly shard: number;
  /** Its slots, as `0-99,200`; empty in sentinel mode. */
  readonly slots: string;
  readonly sources: readonly BackupSource[];
}

/** Replicas that lag by less are as good as each other: what is chosen must not change from one look to the next. */
const LAG_BYTES = 1024 ** 2;

/**
 * The nodes of each shard that a backup can be read from: replicas that answer, have all of their primary's data and a link to it, those that lag less
 * first; then the primary. A node that loads, or copies data itself, is none.
 */
export function backupSources(spec: ClusterSpec, clusterId: string, observation: Observation): readonly ShardSources[] {
  const nodes = new Map(observation.nodes.filter(answered).map((node) => [node.name, node]));
  const members = new Map((observation.views[0]?.members ?? []).map((member) => [member.nodeId, member]));
  const memberOf = (name: string) => members.get(nodeIdOf(clusterId, name));
  const data = placesOf(spec).filter(({ kind }) => kind === 'data');
  return Array.from({ length: spec.shards }, (_, shard) => {
    const own = data.filter((place) => place.shard === shard);
    const ready = own.flatMap(({ name }) => {
      const node = nodes.get(name);
      return node === undefined || node.loading || (spec.mode === 'cluster' && memberOf(name) === undefined) ? [] : [node];
    });
    // An old primary that has come back may not know that it is none any more: the others know whose the slots are.
    const primaries = ready.filter(
      ({ name, role }) => role === 'primary' && (spec.mode === 'sentinel' || memberOf(name)?.role === 'primary'),
    );
    const primary = primaries.length === 1 ? primaries[0] : undefined;
    const lagOf = (offset: number) => Math.floor(Math.max(0, (primary?.replication.offset ?? offset) - offset) / LAG_BYTES);
    const replicas = ready
      .filter(({ role, replication }) => role === 'replica' && replication.linkUp === true && replication.syncing !== true)
      .filter(({ replication }) => primary === undefined || replication.primaryAddress === primary.address)
      .toSorted((a, b) => lagOf(a.replication.offset) - lagOf(b.replication.offset));
    const sources = [...replicas, ...(primary === undefined ? [] : [primary])];
    const slots = own.flatMap(({ name }) => memberOf(name)?.slots ?? []).toSorted((a, b) => a[0] - b[0]);
    return {
      shard,
      slots: slots.map(formatRange).join(','),
      sources: sources.map(({ name, address, role, engine, version, memoryUsedBytes }) => ({
        name,
        address,
        role,
        engine: engine === 'redis' ? 'redis' : 'valkey',
        version,
        memoryBytes: memoryUsedBytes,
      })),
    };
  });
}

/**
 * Whether a scheduled backup may read a primary: as the spec says, and otherwise where there are no replicas by design. Asked anew each time, and
 * not filled in as a default: the number of replicas can change.
 */
export const scheduledFromPrimary = ({ backup, replicasPerShard }: Pick<ClusterSpec, 'backup' | 'replicasPerShard'>): boolean =>
  backup.fromPrimary ?? replicasPerShard === 0;

/**
 * The one to read from: a replica, or the primary where that is allowed and no replica can be read.
 * @param tried the node that the first attempt takes, and how many attempts have failed: each takes the next one, for what failed may be the node.
 */
export function chooseSource(
  { sources }: ShardSources,
  fromPrimary: boolean,
  tried?: { readonly first: string; readonly failed: number },
): BackupSource | undefined {
  const replicas = sources.filter(({ role }) => role === 'replica');
  const allowed = replicas.length > 0 || !fromPrimary ? replicas : sources;
  const first = Math.max(
    0,
    allowed.findIndex(({ name }) => name === tried?.first),
  );
  return allowed[(first + (tried?.failed ?? 0)) % allowed.length];
}
