import { type OnlineReplica, onlineReplicas, parseClusterNodes, parseInfo } from '../redis/parse.ts';
import type { Wire } from '../redis/wire.ts';
import type { ConnectedNode } from './slot-node.ts';

/** A replica that is further behind has no copy of what arrives now. */
const MOST_BEHIND_BYTES = 8 * 1024 ** 2;

/** Who follows a primary, and how far. Offsets count the bytes of its stream of writes. */
export interface Followers {
  /** The name of its stream of writes; a promoted node has that of the one before it as its second. */
  readonly replid: string;
  readonly offset: number;
  /** Those that are online. */
  readonly followers: readonly OnlineReplica[];
  /** Where this primary took over from the one before it; what comes before it has. 0 when it did not. */
  readonly promotedAt: number;
  /**
   * A replica that is promoted deletes keys of slots that it takes for another's: Valkey from 9.0. It does so for a slot that its primary was about to
   * own, when it had heard of that, and then once more from the former owner.
   */
  readonly clears: boolean;
}

/** @param replicas addresses of the cluster's own nodes: others read the stream too, and are no copies */
export async function followersOf(primary: Wire, replicas: ReadonlySet<string>): Promise<Followers> {
  const fields = parseInfo(String(await primary.one('INFO', 'replication', 'server')));
  return {
    clears: Number.parseInt(fields.get('valkey_version') ?? '0', 10) >= 9,
    replid: fields.get('master_replid') ?? '',
    offset: Number(fields.get('master_repl_offset') ?? 0),
    promotedAt: Math.max(0, Number(fields.get('second_repl_offset') ?? 0)),
    followers: onlineReplicas(fields).filter(({ address }) => replicas.has(address)),
  };
}

/**
 * Whether a replica that does not follow its primary now may be promoted all the same, with what it had: its link is down, and nobody takes it for failed.
 * @param followers those that follow
 */
export async function mayLeadUnlinked(
  primary: Pick<ConnectedNode, 'nodeId' | 'wire'>,
  followers: Followers['followers'],
): Promise<boolean> {
  const lines = await primary.wire.one('CLUSTER', 'REPLICAS', primary.nodeId);
  const known = parseClusterNodes(Array.isArray(lines) ? lines.map(String).join('\n') : '');
  const linked = new Set(followers.map(({ address }) => address));
  return known.some(({ address, flags }) => !flags.includes('fail') && !linked.has(address));
}

/** Why what a primary takes now would be without a copy; undefined when one of its replicas follows closely. */
export async function whyWithoutCopy(primary: Wire, replicas: ReadonlySet<string>): Promise<string | undefined> {
  const { offset, followers } = await followersOf(primary, replicas);
  if (followers.length === 0) return 'no replica follows it';
  const behind = offset - Math.max(...followers.map((one) => one.offset));
  return behind > MOST_BEHIND_BYTES ? `its replica is ${Math.round(behind / 1024 ** 2)} MiB behind` : undefined;
}
