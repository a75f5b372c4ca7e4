import { digest } from '../../model/layout.ts';
import type { ClusterMember, ObservedNode, ObservedSentinel } from '../../model/observation.ts';
import { formatRange } from '../../model/slots.ts';
import { messageOf } from '../support/failure.ts';
import { type NodeAddress, pipeline, withNode } from './connection.ts';
import { onlineReplicas, pairs, parseAclList, parseClusterNodes, parseInfo, realReplicas } from './parse.ts';

/** A data node's answers, and its view of the cluster beside them. */
export interface NodeAnswer {
  readonly node: ObservedNode;
  readonly members: readonly ClusterMember[];
}

/** A node that has lost this many peers has lost the cluster; more of them tell nothing more. */
const MOST_PEERS = 10;

/** Asks one data node everything that an observation needs, in one round trip. */
export async function observeNode(name: string, target: NodeAddress, parameters: readonly string[]): Promise<NodeAnswer> {
  const { address } = target;
  try {
    const [info, nodes, clusterInfo, values, users] = await withNode(target, (node) =>
      pipeline(node, [['INFO'], ['CLUSTER', 'NODES'], ['CLUSTER', 'INFO'], ['CONFIG', 'GET', ...parameters], ['ACL', 'LIST']]),
    );
    if (info instanceof Error) throw info;
    const fields = parseInfo(String(info));
    const members = typeof nodes === 'string' ? parseClusterNodes(nodes) : [];
    const myself = members.find((member) => member.myself);
    const view = members
      .map(({ myself: _, linked: __, openSlots: ___, ...member }) => member)
      .sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
    const primary = fields.get('role') === 'master';
    return {
      members: view,
      node: {
        name,
        address,
        answers: true,
        nodeId: myself?.nodeId ?? '',
        engine: fields.has('valkey_version') ? 'valkey' : 'redis',
        version: fields.get('valkey_version') ?? fields.get('redis_version') ?? '',
        role: primary ? 'primary' : 'replica',
        loading: fields.get('loading') === '1',
        clusterState: typeof clusterInfo !== 'string' ? 'none' : parseInfo(clusterInfo).get('cluster_state') === 'ok' ? 'ok' : 'fail',
        viewDigest: view.length === 0 ? '' : viewDigest(view),
        openSlots: myself?.openSlots ?? [],
        failing: view
          .filter((member) => member.flags.some((flag) => flag.startsWith('fail')))
          .map((member) => member.nodeId)
          .slice(0, MOST_PEERS),
        unlinked: members
          .filter((member) => !member.linked && !member.myself)
          .map((member) => member.nodeId)
          .slice(0, MOST_PEERS),
        replication: {
          offset: Number(fields.get(primary ? 'master_repl_offset' : 'slave_repl_offset') ?? 0),
          ...(primary
            ? {}
            : {
                primaryAddress: fields.get('master_host') ?? '',
                linkUp: fields.get('master_link_status') === 'up',
                syncing: fields.get('master_sync_in_progress') === '1',
              }),
          replicas: onlineReplicas(fields).length,
        },
        memoryUsedBytes: Number(fields.get('used_memory') ?? 0),
        memoryMaxBytes: Number(fields.get('maxmemory') ?? 0),
        keys: Number(/keys=(\d+)/.exec(fields.get('db0') ?? '')?.[1] ?? 0),
        uptimeSeconds: Number(fields.get('uptime_in_seconds') ?? 0),
        persistenceOk:
          fields.get('rdb_last_bgsave_status') !== 'err' &&
          fields.get('aof_last_write_status') !== 'err' &&
          fields.get('aof_last_bgrewrite_status') !== 'err',
        parameters: Array.isArray(values) ? pairs(values as string[]) : {},
        users: Array.isArray(users) ? parseAclList(users as string[]) : {},
      },
    };
  } catch (error) {
    return { node: { name, address, answers: false, error: messageOf(error) }, members: [] };
  }
}

/** Who is there, in which role, with which slots; epochs and what one node suspects are left out. */
const viewDigest = (members: readonly ClusterMember[]): string =>
  digest(members.map((m) => `${m.nodeId} ${m.address} ${m.role} ${m.primaryId} ${m.slots.map(formatRange).join(',')}`).join('\n')).slice(
    0,
    16,
  );

/** Asks one sentinel what it watches, in one round trip. */
export async function observeSentinel(name: string, target: NodeAddress, watched: string): Promise<ObservedSentinel> {
  const { address } = target;
  try {
    const [master, replicas, quorum, info] = await withNode(target, (node) =>
      pipeline(node, [
        ['SENTINEL', 'MASTER', watched],
        ['SENTINEL', 'REPLICAS', watched],
        ['SENTINEL', 'CKQUORUM', watched],
        ['INFO', 'server'],
      ]),
    );
    if (master instanceof Error) throw master;
    if (replicas instanceof Error) throw replicas;
    const fields = pairs(master as string[]);
    return {
      name,
      address,
      answers: true,
      primaryAddress: fields.ip ?? '',
      others: Number(fields['num-other-sentinels'] ?? 0),
      replicas: realReplicas(replicas as string[][]),
      quorum: quorum instanceof Error ? quorum.message : 'ok',
      uptimeSeconds: Number(parseInfo(String(info)).get('uptime_in_seconds') ?? 0),
    };
  } catch (error) {
    return { name, address, answers: false, error: messageOf(error) };
  }
}
