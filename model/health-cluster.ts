import type { ClusterSpec } from '../config/cluster-spec.ts';
import type { Finding } from '../config/status.ts';
import { placesOf } from './layout.ts';
import { answered, type Observation } from './observation.ts';
import { quorumOf } from './server-conf.ts';
import { countSlots, SLOTS } from './slots.ts';
import { count } from './words.ts';

/** The node that has an address; the address itself when no container has it. */
const nameOf = (observation: Observation, address: string): string =>
  observation.containers.find((container) => container.address === address)?.name ?? address;

/** Every node must have the same view of who is there and who owns what. */
export function assessViews(spec: ClusterSpec, observation: Observation): readonly Finding[] {
  const findings: Finding[] = [];
  const [view, ...others] = observation.views;
  const expected = placesOf(spec).filter((place) => place.kind === 'data').length;
  for (const other of others) {
    findings.push({
      severity: 'critical',
      code: 'views-differ',
      subject: other.seenBy.join(', '),
      message: 'sees other members, roles or slots than most nodes do',
      next: `holdfast status ${spec.name} --watch; if it stays, look for a network split`,
    });
  }
  if (view !== undefined && view.members.length !== expected) {
    findings.push({
      severity: 'critical',
      code: 'members',
      subject: spec.name,
      message: `it has ${view.members.length} members, the spec wants ${expected}`,
      next: 'holdfast apply -f <spec> completes it',
    });
  }
  for (const member of view?.members ?? []) {
    const odd = member.flags.filter((flag) => flag !== 'fail?');
    if (odd.length > 0)
      findings.push({
        severity: 'critical',
        code: 'member-flags',
        subject: nameOf(observation, member.address),
        message: `the cluster lists it as ${odd.join(', ')}`,
        next: `holdfast events ${spec.name}: it is gone, or the cluster was told to forget it only in part`,
      });
  }
  for (const node of observation.nodes.filter(answered)) {
    if (node.failing.length > 0 || node.unlinked.length > 0) {
      const peers = new Set([...node.failing, ...node.unlinked]).size;
      findings.push({
        severity: 'warning',
        code: 'links',
        subject: node.name,
        message: `it has no working link to ${count(peers, 'other node')}`,
        next: `holdfast status ${spec.name} --watch; then docker logs of the nodes that are named beside it`,
      });
    }
    if (node.openSlots.length > 0) {
      findings.push({
        severity: 'critical',
        code: 'slots-open',
        subject: node.name,
        message: `open: ${count(node.openSlots.length, 'slot')}, such as ${node.openSlots.slice(0, 3).join(' ')}`,
        next: `holdfast repair ${spec.name}, when holdfast operations list shows no move of slots that runs`,
      });
    }
  }
  return findings;
}

/** Each of the 16384 slots has one primary, and every node says that the cluster is ok. */
export function assessSlots(spec: ClusterSpec, observation: Observation): readonly Finding[] {
  const nodes = observation.nodes.filter(answered);
  const members = observation.views[0]?.members ?? [];
  const assigned = members.reduce((sum, member) => sum + countSlots(member.slots), 0);
  const findings: Finding[] = [];
  if (assigned !== SLOTS) {
    findings.push({
      severity: 'critical',
      code: 'slots-unassigned',
      subject: spec.name,
      message: `${SLOTS - assigned} of ${SLOTS} slots belong to nobody`,
      next: 'holdfast apply -f <spec> completes a half-made cluster',
    });
  }
  // A server that loads does not say; a replica that says so is cut off, and the others tell whether writes are taken.
  const notOk = nodes.filter((node) => node.clusterState !== 'ok' && node.role === 'primary' && !node.loading).map((node) => node.name);
  if (notOk.length > 0) {
    findings.push({
      severity: 'critical',
      code: 'cluster-state',
      subject: notOk.join(', '),
      message: 'cluster_state is not ok',
      next: 'holdfast apply -f <spec> starts what is down',
    });
  }
  const idle = members.filter((member) => member.role === 'primary' && member.slots.length === 0);
  for (const member of idle) {
    findings.push({
      // It serves nothing and stands in nobody's way: a scale out that was cancelled may leave one.
      severity: 'info',
      code: 'empty-primary',
      subject: nameOf(observation, member.address),
      message: 'it is a primary without slots',
      next: `holdfast rebalance ${spec.name} gives it its share; holdfast events ${spec.name} tells how it came`,
    });
  }
  return findings;
}

/** Primaries have the replicas that the spec promises, and their links are up. */
export function assessReplication(spec: ClusterSpec, observation: Observation): readonly Finding[] {
  const nodes = observation.nodes.filter(answered);
  const findings: Finding[] = [];
  for (const node of nodes) {
    if (node.role !== 'replica' || node.replication.linkUp === true || node.loading) continue;
    if (node.replication.syncing === true) {
      findings.push({
        severity: 'warning',
        code: 'replica-syncing',
        subject: node.name,
        message: 'it is copying the data of its primary',
        next: `holdfast status ${spec.name} --watch`,
      });
    } else {
      findings.push({
        severity: 'critical',
        code: 'replica-link',
        subject: node.name,
        message: 'its link to its primary is down',
        next: `docker logs --tail 20 ${node.name}`,
      });
    }
  }
  const owners = new Set(observation.views[0]?.members.filter((m) => m.role === 'primary' && m.slots.length > 0).map((m) => m.nodeId));
  for (const node of nodes.filter((n) => n.role === 'primary' && (spec.mode === 'sentinel' || owners.has(n.nodeId)))) {
    if (node.replication.replicas < spec.replicasPerShard) {
      const message = `it has ${count(node.replication.replicas, 'online replica')}, the spec wants ${spec.replicasPerShard}`;
      findings.push({
        severity: 'critical',
        code: 'replicas',
        subject: node.name,
        message,
        next: `holdfast status ${spec.name} shows the nodes of its shard; holdfast apply -f <spec> makes those that are missing`,
      });
    }
  }
  return findings;
}

/** One primary, by direct question; every sentinel watches that one and knows all others. */
export function assessSentinels(spec: ClusterSpec, observation: Observation): readonly Finding[] {
  const findings: Finding[] = [];
  const add = (code: string, subject: string, message: string, next: string) =>
    findings.push({ severity: 'critical', code, subject, message, next });
  const primaries = observation.nodes.filter(answered).filter((node) => node.role === 'primary');
  if (primaries.length === 0)
    add(
      'no-primary',
      spec.name,
      'no node says that it is the primary',
      `holdfast status ${spec.name} --watch: the sentinels elect one within a minute`,
    );
  if (primaries.length > 1)
    add(
      'two-primaries',
      primaries.map((node) => node.name).join(', '),
      'more than one node says that it is the primary',
      'docker stop the one that the sentinels do not name, before it takes more writes',
    );
  for (const sentinel of observation.sentinels.filter(answered)) {
    const next = `docker logs ${sentinel.name}`;
    if (primaries.length === 1 && sentinel.primaryAddress !== primaries[0]?.address)
      add('sentinel-primary', sentinel.name, `it watches ${sentinel.primaryAddress}, which is not the primary`, next);
    if (sentinel.quorum !== 'ok') add('sentinel-quorum', sentinel.name, `CKQUORUM: ${sentinel.quorum}`, next);
    if (sentinel.others !== spec.sentinels - 1)
      add('sentinel-peers', sentinel.name, `it knows ${sentinel.others} other sentinels, not ${spec.sentinels - 1}`, next);
    if (sentinel.replicas !== spec.replicasPerShard)
      add('sentinel-replicas', sentinel.name, `it knows ${sentinel.replicas} replicas, not ${spec.replicasPerShard}`, next);
  }
  if (observation.sentinels.filter(answered).length < quorumOf(spec))
    add('sentinels', spec.name, 'too few sentinels answer to agree on a failover', 'holdfast apply -f <spec> completes it');
  return findings;
}
