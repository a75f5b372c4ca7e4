import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import { type BackupSource, backupSources } from '../../model/backup-source.ts';
import type { Followable, StreamPlace } from '../../model/recovery/going-on.ts';
import { asFollower, asOperator, type NodeAddress, withNode } from '../redis/connection.ts';
import { type ObserveDeps, observe } from '../redis/observe.ts';
import { parseInfo } from '../redis/parse.ts';
import type { ReplicationTarget } from '../replication/link.ts';
import { ReplicationNotNow } from '../replication/refusal.ts';
import { messageOf, passing } from '../support/failure.ts';

/** A node of a shard, where it is in the stream, and how to speak to it. */
export interface ShardNode extends Followable {
  readonly source: BackupSource;
  /** As a replica does. */
  readonly target: ReplicationTarget;
  /** As the operator does. */
  readonly operator: NodeAddress;
}

/** A shard at one moment. */
export interface ShardNow {
  readonly slots: string;
  /** Those that can be read, best first: replicas, then the primary. */
  readonly nodes: readonly ShardNode[];
}

/** Looks at a shard: asks the engine and every node of the cluster, and those that are fit for it where they are in the stream. */
export const lookAtShard =
  (deps: ObserveDeps, { spec, clusterId, shard }: { readonly spec: ClusterSpec; readonly clusterId: string; readonly shard: number }) =>
  async (): Promise<ShardNow> => {
    const { tls } = spec.security;
    const held = await deps.secrets.require(spec.name);
    const observation = await observe(deps, { cluster: spec.name, tls, parameters: [] });
    const found = backupSources(spec, clusterId, observation)[shard];
    if (found === undefined) throw passing(failures.nodeAway, `${spec.name} has no shard ${shard}`);
    const nodes = await Promise.all(
      found.sources.map(async (source): Promise<readonly ShardNode[]> => {
        const operator = asOperator(held, tls, { kind: 'data', address: source.address });
        const place = await placeOf(operator).catch(() => undefined); // it has gone in between
        const target = asFollower(held, tls, source.address);
        return place === undefined ? [] : [{ role: source.role, place, source, operator, target }];
      }),
    );
    return { slots: found.slots, nodes: nodes.flat() };
  };

/** The time by the clock that stamps the shard's writes, its primary's; a worker's may be another. @throws ReplicationNotNow */
export async function timeOfShard(nodes: readonly ShardNode[], node: ShardNode): Promise<Date> {
  const { operator, source } = nodes.find(({ role }) => role === 'primary') ?? node;
  try {
    const [seconds = 0, micros = 0] = (await withNode(operator, (redis) => redis.time())).map(Number);
    return new Date(seconds * 1000 + Math.floor(micros / 1000));
  } catch (error) {
    throw new ReplicationNotNow(`${source.name} does not say what time it is: ${messageOf(error)}`);
  }
}

/** Where a node is in its stream. */
export const placeOf = (node: NodeAddress): Promise<StreamPlace> =>
  withNode(node, async (redis) => streamPlace(parseInfo(await redis.info('replication'))));

export function streamPlace(info: ReadonlyMap<string, string>): StreamPlace {
  const number = (name: string) => Number(info.get(name) ?? -1);
  const former = info.get('master_replid2') ?? '';
  const [upTo, first] = [number('second_repl_offset') - 1, number('repl_backlog_first_byte_offset')];
  return {
    replid: info.get('master_replid') ?? '',
    offset: number('master_repl_offset'),
    ...(upTo < 0 || /^0*$/.test(former) ? {} : { former: { replid: former, upTo } }),
    ...(info.get('repl_backlog_active') === '1' && first > 0 ? { keepsFrom: first - 1 } : {}),
  };
}
