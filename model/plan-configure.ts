import { type ClusterSpec, parseBytes } from '../config/cluster-spec.ts';
import { systemUsers } from '../config/names.ts';
import type { Plan, PlanStep } from '../config/progress.ts';
import { type BackupSchedule, scheduleOf } from '../config/schedules.ts';
import { refuseLimits } from './host-room.ts';
import type { KnownCluster } from './known-cluster.ts';
import { canonicalJson, limitsOf, nanoCpus, placesOf } from './layout.ts';
import { answered, type Observation, type ObservedContainer } from './observation.ts';
import { normalise, sameValue } from './parameters.ts';
import { scheduleSteps } from './plan-schedule.ts';
import { liveParameters, maxmemoryOf } from './server-conf.ts';
import { type SpecChange, specChanges } from './spec-changes.ts';
import { count } from './words.ts';

/** A plan with what the runbook needs to carry it out and to take it back. */
export interface ConfigurePlan extends Plan {
  /** Nodes whose container limits change. */
  readonly limitNodes: readonly { readonly name: string; readonly kind: ObservedContainer['kind'] }[];
  /** Limits grow before maxmemory does, and shrink after it. */
  readonly limitsFirst: boolean;
  /** Server parameters to set on every data node, and what they were. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly formerParameters: Readonly<Record<string, string>>;
  readonly usersChange: boolean;
  readonly removedUsers: readonly string[];
  readonly accepts: boolean;
}

export const configureSteps = {
  limits: 'set container limits',
  parameters: 'set server parameters',
  secrets: 'make passwords of new users',
  users: 'set users',
  schedule: 'schedule backups',
  accept: 'hand the spec to the keeper',
} as const;

/** Fields that cannot change under a running server, with what it takes instead. */
const NOT_LIVE: readonly {
  readonly field: string;
  readonly of: (spec: ClusterSpec) => unknown;
  readonly needs: string;
  /** The option of `holdfast scale` that does it. */
  readonly scale?: string;
}[] = [
  { field: 'engine', of: (s) => s.engine, needs: 'a new cluster, and a move of the data' },
  { field: 'version', of: (s) => s.version, needs: 'a rolling upgrade: each node restarted on the new image, replicas first' },
  { field: 'mode', of: (s) => s.mode, needs: 'a new cluster, and a move of the data' },
  { field: 'shards', of: (s) => s.shards, needs: 'slots moved between primaries, nodes added or drained', scale: '--shards' },
  { field: 'replicasPerShard', of: (s) => s.replicasPerShard, needs: 'nodes added or removed, and synced', scale: '--replicas' },
  { field: 'sentinels', of: (s) => s.sentinels, needs: 'sentinels added or removed one by one' },
  { field: 'security.tls', of: (s) => s.security.tls, needs: 'a restart of every node with other ports' },
  { field: 'placement', of: (s) => s.placement, needs: 'nodes made on the other host, and synced' },
  { field: 'network.subnet', of: (s) => s.network.subnet, needs: 'a new network and new addresses for every node' },
  { field: 'labels', of: (s) => s.labels, needs: 'every container made anew: an engine cannot change labels' },
];

/** What it takes to give a running cluster the settings of a changed spec; refusals say what the rest would need. */
export function planConfigure(
  spec: ClusterSpec,
  known: KnownCluster,
  observation: Observation,
  scheduled: BackupSchedule | null = scheduleOf(spec),
): ConfigurePlan {
  const former = known.spec ?? spec;
  const nodes = observation.nodes.filter(answered);
  const wanted = liveParameters(spec);
  const changed = Object.keys(wanted).filter((name) =>
    nodes.some((node) => !sameValue(name, wanted[name] ?? '', node.parameters[name] ?? '')),
  );
  const parameters = Object.fromEntries(changed.map((name) => [name, wanted[name] ?? '']));
  const formerParameters = Object.fromEntries(changed.map((name) => [name, nodes[0]?.parameters[name] ?? '']));
  const limitNodes = observation.containers.filter((c) => otherLimits(spec, former, c)).map(({ name, kind }) => ({ name, kind }));
  const data = observation.containers.filter((c) => c.kind === 'data');
  const limitsFirst = parseBytes(spec.resources.memory) >= Math.max(0, ...data.map((c) => c.memoryBytes));
  const removedUsers = former.security.users
    .map((user) => user.name)
    .filter((name) => spec.security.users.every((user) => user.name !== name));
  const usersChange =
    canonicalJson(former.security.users) !== canonicalJson(spec.security.users) || nodes.some((node) => otherUsers(spec, node.users));
  const changes = specChanges(former, spec);
  const accepts = canonicalJson(former) !== canonicalJson(spec) || known.source !== 'keeper';
  const limits: readonly PlanStep[] =
    limitNodes.length === 0
      ? []
      : [
          {
            name: configureSteps.limits,
            change: `${count(limitNodes.length, 'container')}: ${spec.resources.memory} of memory, ${spec.resources.cpus} CPU`,
            undo: 'set the former limits',
          },
        ];
  const values: readonly PlanStep[] =
    changed.length === 0
      ? []
      : [
          {
            name: configureSteps.parameters,
            change: changed.map((name) => `${name}: ${formerParameters[name] || '""'} -> ${parameters[name] || '""'}`).join(', '),
            undo: 'set the former values',
          },
        ];
  const steps: readonly PlanStep[] = [
    ...(limitsFirst ? [...limits, ...values] : [...values, ...limits]),
    ...(usersChange
      ? [
          { name: configureSteps.secrets, change: 'passwords for users that have none yet, sealed in the bucket' },
          usersStep(spec, former, removedUsers),
        ]
      : []),
    // What servers know nothing of: the schedule of backups, and the archive.
    ...scheduleSteps(configureSteps.schedule, spec, scheduled),
    ...(accepts
      ? [{ name: configureSteps.accept, change: `generation ${known.generation + 1} is the spec that holds${othersOf(changes)}` }]
      : []),
  ];
  const summary =
    steps.length === 0
      ? `${spec.name} already has these settings`
      : `${spec.name}: ${count(steps.length, 'change')}${fieldsOf(changes)}, all while it serves`;
  return {
    summary,
    steps,
    refusals: refuse(spec, known, observation),
    limitNodes,
    limitsFirst,
    parameters,
    formerParameters,
    usersChange,
    removedUsers,
    accepts,
  };
}

/** What else differs, of which no other step tells. */
function othersOf(changes: readonly SpecChange[]): string {
  const others = changes.filter(({ field }) => !/^(config|resources|security)\./.test(field));
  const told = others.slice(0, MOST_TOLD).map(({ field, before, after }) => `${field} ${show(before)} -> ${show(after)}`);
  const more = others.length > told.length ? [`and ${others.length - told.length} more`] : [];
  return told.length === 0 ? '' : `: ${[...told, ...more].join(', ')}`;
}

const MOST_TOLD = 8;

/** Their names, for the journal. */
function fieldsOf(changes: readonly SpecChange[]): string {
  const fields = changes.map(({ field }) => field);
  const more = fields.length > MOST_TOLD ? ', ...' : '';
  return fields.length === 0 ? '' : ` (${fields.slice(0, MOST_TOLD).join(', ')}${more})`;
}

/** Limits that are not the spec's; and whether the engine may start the node again, which hangs on AOF. */
function otherLimits(spec: ClusterSpec, former: ClusterSpec, { kind, memoryBytes, nanoCpus: has }: ObservedContainer): boolean {
  const limits = limitsOf(spec, kind);
  return (
    memoryBytes !== limits.memoryBytes ||
    has !== nanoCpus(limits.cpus) ||
    (kind === 'data' && former.persistence.aof !== spec.persistence.aof)
  );
}

/** Somebody made or removed users by hand. */
function otherUsers(spec: ClusterSpec, users: Readonly<Record<string, string>>): boolean {
  const system: readonly string[] = [
    'default',
    systemUsers.operator,
    systemUsers.replication,
    ...(spec.mode === 'sentinel' ? [systemUsers.sentinel] : []),
  ];
  const wanted = [...system, ...spec.security.users.map((user) => user.name)].sort();
  return Object.keys(users).length > 0 && wanted.join(' ') !== Object.keys(users).sort().join(' ');
}

function usersStep(spec: ClusterSpec, former: ClusterSpec, removed: readonly string[]): PlanStep {
  const before = new Map(former.security.users.map((user) => [user.name, canonicalJson(user)]));
  const added = spec.security.users.filter((user) => !before.has(user.name)).map((user) => user.name);
  const altered = spec.security.users
    .filter((user) => before.has(user.name) && before.get(user.name) !== canonicalJson(user))
    .map((user) => user.name);
  const parts = [
    added.length > 0 ? `add ${added.join(', ')}` : '',
    altered.length > 0 ? `change ${altered.join(', ')}` : '',
    removed.length > 0 ? `remove ${removed.join(', ')}` : '',
  ];
  return {
    name: configureSteps.users,
    change: parts.filter((part) => part !== '').join('; ') || 'put right what was changed by hand',
    ...(removed.length > 0 ? { cost: 'clients of removed users are disconnected' } : {}),
    undo: 'set the former users',
  };
}

function refuse(spec: ClusterSpec, known: KnownCluster, observation: Observation): readonly string[] {
  if (known.spec === undefined) return [];
  const former = known.spec;
  const refusals = NOT_LIVE.filter(({ of }) => canonicalJson(of(former) ?? null) !== canonicalJson(of(spec) ?? null)).map(
    ({ field, of, needs, scale }) =>
      `${field} (${show(of(former))} -> ${show(of(spec))}) cannot change while it serves: it needs ${needs}${
        scale === undefined
          ? ''
          : `. That is: holdfast scale ${spec.name} ${scale} ${show(of(spec))}. If it was scaled since this file was written, the spec that holds is shown by holdfast describe ${spec.name}`
      }`,
  );
  const gone = Object.keys(former.config).filter((name) => !(name in liveParameters(spec)));
  refusals.push(
    ...gone.map(
      (name) =>
        `config.${name} cannot be taken out: a running server does not know its default any more; give it the value that it shall have`,
    ),
  );
  const missing = placesOf(former)
    .filter((place) => observation.containers.every((c) => c.name !== place.name || c.state !== 'running'))
    .map((place) => place.name);
  const silent = [...observation.nodes, ...observation.sentinels].filter((node) => !node.answers).map((node) => node.name);
  const away = [...new Set([...missing, ...silent])];
  if (away.length > 0)
    refusals.push(
      `${away.join(', ')} cannot be reached, and every node must take the change: apply the former spec, which completes the cluster, or start them`,
    );
  const more = observation.containers.reduce(
    (sum, container) => sum + limitsOf(spec, container.kind).memoryBytes - container.memoryBytes,
    0,
  );
  refusals.push(...refuseLimits(spec, observation.host, Math.max(0, more)));
  for (const node of observation.nodes.filter(answered)) {
    const wanted = Number(normalise(spec.config.maxmemory ?? String(maxmemoryOf(spec))));
    if (wanted > 0 && node.memoryUsedBytes > wanted) {
      refusals.push(
        `${node.name} uses ${Math.round(node.memoryUsedBytes / 1024 ** 2)} MiB, more than the new maxmemory of ${Math.round(wanted / 1024 ** 2)} MiB: keep more memory, or remove data first`,
      );
    }
  }
  return refusals;
}

const show = (value: unknown): string => (value === undefined ? 'none' : typeof value === 'string' ? value : JSON.stringify(value));
