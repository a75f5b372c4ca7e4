import type { ClusterSpec } from '../config/cluster-spec.ts';
import type { Finding, Verdict } from '../config/status.ts';
import { assessReplication, assessSentinels, assessSlots, assessViews } from './health-cluster.ts';
import { placesOf } from './layout.ts';
import { answered, type Observation, type ObservedContainer, type Unfinished } from './observation.ts';
import { isRefusing, retirement } from './server-conf.ts';
import { count } from './words.ts';

/** What an observation means, measured by the spec. */
export interface Health {
  readonly verdict: Verdict;
  /** A sentence. */
  readonly headline: string;
  /** Worst first. */
  readonly findings: readonly Finding[];
  /** All nodes are there, agree and replicate. */
  readonly sound: boolean;
}

/** A full memory: an operation can neither cause nor mend it by being undone. And what a restore in place does or has left: it is cleared away when all nodes are well. */
const NOT_OF_NODES = new Set(['memory', 'half-replaced', 'writes-refused']);

const RANK = { critical: 0, warning: 1, info: 2 } as const;

/**
 * Compares what was seen with what the spec wants. Facts only: nothing is remembered from before.
 * @param restoring whether a restore works on it now
 */
export function assess(spec: ClusterSpec, observation: Observation, { restoring = false }: { readonly restoring?: boolean } = {}): Health {
  const replaced = observation.unfinished === undefined ? undefined : halfReplaced(spec.name, observation.unfinished, restoring);
  const findings = [
    ...(replaced === undefined ? [] : [{ severity: 'critical', code: 'half-replaced', subject: spec.name, ...replaced } as const]),
    ...assessNodes(spec, observation, replaced?.next),
    ...(spec.mode === 'cluster'
      ? [...assessViews(spec, observation), ...assessSlots(spec, observation)]
      : assessSentinels(spec, observation)),
    ...assessReplication(spec, observation),
    ...assessServers(spec, observation),
    ...assessWrites(spec, observation, restoring),
  ].sort((a, b) => RANK[a.severity] - RANK[b.severity]);
  const verdict = verdictOf(observation, findings);
  const sound = findings.every((finding) => finding.severity === 'info' || NOT_OF_NODES.has(finding.code));
  return { verdict, headline: headline(spec, verdict, findings), findings, sound };
}

function verdictOf(observation: Observation, findings: readonly Finding[]): Verdict {
  if (observation.containers.length === 0) return 'down';
  if (findings.some((finding) => DOWN.has(finding.code))) return 'down';
  return findings.some((finding) => finding.severity !== 'info') ? 'degraded' : 'healthy';
}

/** Findings with which part of the data cannot be written. */
const DOWN = new Set(['half-replaced', 'writes-refused', 'cluster-state', 'slots-unassigned', 'no-primary', 'two-primaries']);

function headline(spec: ClusterSpec, verdict: Verdict, findings: readonly Finding[]): string {
  const shape =
    spec.mode === 'cluster'
      ? `${spec.shards} shards, ${count(spec.replicasPerShard, 'replica')} each`
      : `one primary, ${count(spec.replicasPerShard, 'replica')}, ${spec.sentinels} sentinels`;
  const first = findings.find((finding) => finding.severity !== 'info');
  return verdict === 'healthy' ? `${shape}: all there, all agree` : `${first?.subject}: ${first?.message}`;
}

/** What a restore in place means that has not ended, and what to do. */
export function halfReplaced(
  cluster: string,
  { committed }: Unfinished,
  restoring: boolean,
): { readonly message: string; readonly next: string } {
  if (restoring) return { message: 'it is being restored in place', next: 'wait until the restore has ended' };
  const ends = committed === true;
  return {
    message: `a restore of it in place began and never ended: ${ends ? 'no application is let in yet' : 'its nodes are stopped or have other data, and no application is let in'}`,
    next: `holdfast restore ${cluster} --latest, without --into: it ${ends ? 'ends what was begun' : 'puts back what the cluster had before'}, and does nothing else`,
  };
}

const STATES: Readonly<Record<Exclude<ObservedContainer['state'], 'running'>, string>> = {
  created: 'its container was made but never started',
  restarting: 'its container ends and is started again, over and over',
  exited: 'its container has stopped',
  other: 'its container does not run',
};

/** Containers and whether the servers in them answer. */
function assessNodes(spec: ClusterSpec, observation: Observation, instead: string | undefined): readonly Finding[] {
  const containers = new Map(observation.containers.map((container) => [container.name, container]));
  const answers = new Map([...observation.nodes, ...observation.sentinels].map((node) => [node.name, node]));
  return placesOf(spec).flatMap((place): readonly Finding[] => {
    const container = containers.get(place.name);
    const next = instead ?? `holdfast apply -f <spec> completes it; docker logs ${place.name} says why it went`;
    if (container === undefined)
      return [{ severity: 'critical', code: 'node-missing', subject: place.name, message: 'it has no container', next }];
    if (container.state !== 'running')
      return [{ severity: 'critical', code: 'node-stopped', subject: place.name, message: STATES[container.state], next }];
    const node = answers.get(place.name);
    if (node === undefined || node.answers) return [];
    return [
      {
        severity: 'critical',
        code: 'node-silent',
        subject: place.name,
        message: `it does not answer: ${node.error}`,
        next: `docker logs ${place.name}`,
      },
    ];
  });
}

/** The state of each server on its own: loading, memory, persistence, version. */
function assessServers(spec: ClusterSpec, observation: Observation): readonly Finding[] {
  return observation.nodes.filter(answered).flatMap((node) => {
    const findings: Finding[] = [];
    const add = (severity: Finding['severity'], code: string, message: string, next: string) =>
      findings.push({ severity, code, subject: node.name, message, next });
    const used = node.memoryMaxBytes > 0 ? node.memoryUsedBytes / node.memoryMaxBytes : 0;
    const percent = `${Math.round(used * 100)} % of maxmemory is used`;
    if (node.loading) add('warning', 'loading', 'it is still loading its data', `holdfast status ${spec.name} --watch`);
    if (!node.persistenceOk)
      add('critical', 'persistence', 'its last save to disk failed', `look for a full disk: docker logs ${node.name}`);
    if (used >= 0.9) add('critical', 'memory', percent, 'holdfast apply -f <spec>, with more resources.memory in it');
    else if (used >= 0.8) add('warning', 'memory', percent, 'holdfast apply -f <spec>, with more resources.memory in it');
    if (node.engine !== spec.engine || !node.version.startsWith(`${spec.version}.`)) {
      add(
        'warning',
        'version',
        `it runs ${node.engine} ${node.version}, the spec says ${spec.engine} ${spec.version}`,
        `docker inspect ${node.name} shows its image`,
      );
    }
    const { parameter, retired } = retirement(spec);
    if (node.role === 'replica' && node.parameters[parameter] === retired)
      add(
        'warning',
        'retired',
        'it is set so that it never takes over: a scale that was to remove it has not ended',
        'the same scale again, which ends it; or holdfast apply -f <spec>, which sets it back',
      );
    return findings;
  });
}

/** Nodes that no client can write to, as a restore in place has set them. */
function assessWrites({ name: subject }: ClusterSpec, observation: Observation, restoring: boolean): readonly Finding[] {
  const nodes = observation.nodes.filter(answered).filter(({ parameters }) => isRefusing(parameters));
  if (nodes.length === 0) return [];
  const finding = { severity: 'critical', code: 'writes-refused', subject } as const;
  return restoring
    ? [{ ...finding, message: 'it takes no writes while it is restored in place', next: 'wait until the restore has ended' }]
    : [
        {
          ...finding,
          message: `it takes no writes (${nodes.map(({ name }) => name).join(', ')}): a restore of it in place began and never ended, and has replaced nothing`,
          next: 'the same restore again; or holdfast apply -f <spec>, which lets writes in again',
        },
      ];
}
