import type { ClusterSpec } from '../config/cluster-spec.ts';
import type { JournalEntry } from '../config/progress.ts';
import type { BackupStatus, NodeStatus, ShardStatus, StatusReport } from '../config/status.ts';
import { assessBackups } from './backup-findings.ts';
import { assess, type Health } from './health.ts';
import type { KnownCluster } from './known-cluster.ts';
import { placesOf } from './layout.ts';
import { answered, type Observation, type ObservedNode } from './observation.ts';
import { countSlots, formatRange } from './slots.ts';
import { count } from './words.ts';

interface Holder {
  readonly workflowId: string;
  readonly runId: string;
  readonly operation: string;
}

/** An observation, for a person. */
export function reportStatus(
  known: KnownCluster,
  observation: Observation,
  journal: readonly JournalEntry[],
  holder: Holder | undefined,
  backups?: BackupStatus,
): StatusReport {
  const { cluster, network } = observation;
  const { verdict, headline, findings } =
    known.spec === undefined
      ? withoutSpec(known, observation, holder)
      : assess(known.spec, observation, { restoring: holder?.operation === 'restore' });
  const promised =
    known.spec === undefined || backups === undefined ? [] : assessBackups(known.spec, backups, Date.parse(observation.observedAt));
  return {
    cluster,
    verdict,
    headline,
    observedAt: observation.observedAt,
    findings: [...findings, ...promised],
    shards: shardsOf(known.spec, observation),
    sentinels: sentinelsOf(known.spec, observation).map((name) => nodeStatus(name, 'sentinel', observation)),
    ...(network === undefined ? {} : { network: { name: network.name, subnet: network.subnet } }),
    ...(known.spec === undefined ? {} : { spec: known.spec, generation: known.generation }),
    ...(holder === undefined ? {} : { running: { workflowId: holder.workflowId, runId: holder.runId, operation: holder.operation } }),
    ...(backups === undefined ? {} : { backups }),
    journal,
  };
}

/** Nobody knows what it should be; that there is something at all is the finding. */
function withoutSpec(
  { restoring }: KnownCluster,
  { cluster, containers, volumes, network }: Observation,
  holder: Holder | undefined,
): Health {
  if (containers.length === 0 && volumes.length === 0 && network === undefined)
    return { verdict: 'absent', headline: `there is no cluster named ${cluster}`, findings: [], sound: false };
  if (restoring !== undefined) {
    const { source, what, startedAt } = restoring;
    const goesOn = holder?.operation === 'restore';
    const message = `${goesOn ? 'is being brought back' : 'a restore into it began and never ended'}: the data of ${source}, ${what}, since ${startedAt}. It does not have all of it`;
    const next = goesOn
      ? 'wait until the restore has ended'
      : `use nothing of it: run the same restore again, or remove what is there: holdfast deprovision ${cluster}`;
    return {
      verdict: 'degraded',
      headline: message,
      findings: [{ severity: 'critical', code: 'half-restored', subject: cluster, message, next }],
      sound: false,
    };
  }
  const message = `${count(containers.length, 'container')} and ${count(volumes.length, 'volume')} carry its label, but no spec of it is on record`;
  const next = `if another Holdfast uses this engine too, it is that one's: leave it alone. Else apply its spec to complete it; only if nobody needs it: holdfast deprovision ${cluster} --force`;
  return {
    verdict: 'degraded',
    headline: message,
    findings: [{ severity: 'critical', code: 'orphaned', subject: cluster, message, next }],
    sound: false,
  };
}

function shardsOf(spec: ClusterSpec | undefined, observation: Observation): readonly ShardStatus[] {
  const wanted = spec === undefined ? [] : placesOf(spec).filter((place) => place.kind === 'data');
  const found = observation.containers.filter((container) => container.kind === 'data');
  const names = new Map<string, number>([...wanted, ...found].map((place) => [place.name, place.shard]));
  const numbers = [...new Set(names.values())].sort((a, b) => a - b);
  return numbers.map((shard) => {
    const members = [...names].filter(([, of]) => of === shard).map(([name]) => name);
    const answers = observation.nodes.filter(answered).filter((node) => members.includes(node.name));
    const ids = new Set(answers.map((node) => node.nodeId));
    const slots = (observation.views[0]?.members ?? []).filter((member) => ids.has(member.nodeId)).flatMap((member) => member.slots);
    const primary = answers.find((node) => node.role === 'primary');
    return {
      shard,
      slots: slots.map(formatRange),
      slotCount: countSlots(slots),
      nodes: members.map((name) => nodeStatus(name, 'data', observation)),
      ...(primary === undefined ? {} : { keys: primary.keys }),
    };
  });
}

/** Those that the spec wants, whether they are there or not, and any that are there besides. */
function sentinelsOf(spec: ClusterSpec | undefined, observation: Observation): readonly string[] {
  const wanted = spec === undefined ? [] : placesOf(spec).filter((place) => place.kind === 'sentinel');
  const found = observation.containers.filter((container) => container.kind === 'sentinel');
  return [...new Set([...wanted, ...found].map((one) => one.name))];
}

function nodeStatus(name: string, kind: NodeStatus['kind'], observation: Observation): NodeStatus {
  const container = observation.containers.find((one) => one.name === name);
  const node = observation.nodes.find((one) => one.name === name);
  const sentinel = observation.sentinels.find((one) => one.name === name);
  const answers = node?.answers === true || sentinel?.answers === true;
  const where = { name, kind, host: observation.host.name, address: container?.address ?? '' } as const;
  const state =
    container === undefined
      ? 'missing'
      : container.state === 'restarting'
        ? 'restarting'
        : container.state !== 'running'
          ? 'stopped'
          : answers
            ? 'running'
            : 'silent';
  if (sentinel?.answers === true) return { ...where, role: 'sentinel', state, uptimeSeconds: sentinel.uptimeSeconds };
  if (node?.answers !== true) return { ...where, role: where.kind === 'sentinel' ? 'sentinel' : 'unknown', state };
  const lagBytes = lagOf(node, observation.nodes);
  return {
    ...where,
    role: node.role,
    state,
    version: node.version,
    memoryUsedBytes: node.memoryUsedBytes,
    memoryMaxBytes: node.memoryMaxBytes,
    uptimeSeconds: node.uptimeSeconds,
    ...(lagBytes === undefined ? {} : { lagBytes }),
  };
}

/** How far a replica is behind its primary, in bytes of the stream; both were asked at about the same moment. */
function lagOf(node: Extract<ObservedNode, { answers: true }>, nodes: readonly ObservedNode[]): number | undefined {
  const primary = nodes.filter(answered).find((other) => other.address === node.replication.primaryAddress);
  return node.role === 'replica' && primary !== undefined ? Math.max(0, primary.replication.offset - node.replication.offset) : undefined;
}
