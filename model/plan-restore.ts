import { type ClusterSpec, clusterSpec } from '../config/cluster-spec.ts';
import type { RestoreInput } from '../config/operations.ts';
import type { PlanStep } from '../config/progress.ts';
import type { KnownCluster } from './known-cluster.ts';
import { canonicalJson, digest, limitsOf, type NodePlace, placesOf } from './layout.ts';
import { answered, type Observation } from './observation.ts';
import { halfRestored, type ProvisionPlan, planProvision, provisionSteps } from './plan-provision.ts';
import { whyUnreadable } from './recovery/readable.ts';
import { type ClusterSource, plannedRecovery, rangesOf, type ShardSource, sourceId } from './recovery/shard-recovery.ts';
import { maxmemoryOf } from './server-conf.ts';
import { countSlots, evenSlotRanges, formatRange, SLOTS } from './slots.ts';
import { count, mibUp } from './words.ts';

/** A plan of a new cluster, with the data that its primaries begin with, or that is copied into it. */
export interface RestorePlan extends ProvisionPlan {
  /** The node that each shard begins with, and its data; none when the data is copied. */
  readonly primaries: readonly { readonly place: NodePlace; readonly source: ShardSource }[];
  /** Shards whose keys belong to other ones now: they are loaded beside the cluster and copied into it, or spread. */
  readonly copies: readonly ShardSource[];
  /** The nodes that `copies` are spread over before they start, and the slots that each will have; none when the keys are copied. */
  readonly spread: readonly { readonly place: NodePlace; readonly slots: string }[];
  /** Memory of a server that loads one of these. */
  readonly scratchBytes: number;
}

export const restoreSteps = {
  ...provisionSteps,
  layOut: (shard: number) => `lay out the data of shard ${shard}`,
  load: 'load the data',
  settle: 'switch the append-only file off',
  rewrite: 'write the append-only files anew',
  volumes: 'make the volumes of the primaries',
  spread: (shard: number) => `spread the keys of shard ${shard}`,
  copy: (shard: number) => `copy the keys of shard ${shard}`,
  count: 'count the keys',
} as const;

/** What it takes to make a cluster of the spec that has this data. */
export function planRestore(
  spec: ClusterSpec,
  known: KnownCluster,
  source: ClusterSource,
  { include, ttl }: Pick<RestoreInput, 'include' | 'ttl'>,
  observation: Observation,
  scheduled: Parameters<typeof planProvision>[3],
): RestorePlan {
  const { restoring, ...kept } = known;
  const ground = planProvision(spec, kept, observation, scheduled);
  // With the same shards, each begins with the data of one; else every key has to be sent where it belongs now.
  const asItWas = include.length === 0 && modeOf(source) === spec.mode && source.shards.length === spec.shards;
  // A shard without slots has no key of its own.
  const copies = asItWas ? [] : source.shards.filter(({ slots }) => slots !== '' || modeOf(source) === 'sentinel');
  const scratchBytes = Math.max(limitsOf(spec, 'data').memoryBytes, keptMemory(source));
  const primaries = !asItWas
    ? []
    : source.shards.flatMap((shard) => {
        const place = firstOf(spec, shard.shard);
        return place === undefined ? [] : [{ place, source: shard }];
      });
  const spread = !asItWas && canSpread(spec, source, copies, include) ? spreadOver(spec) : [];
  const laysOut = asItWas || spread.length > 0;
  const first = new Set([...primaries, ...spread].map(({ place }) => provisionSteps.node(place)));
  const starts = new Set(ground.nodes.map(provisionSteps.node));
  const before = ground.steps.findIndex(
    ({ name }) => starts.has(name) || name === provisionSteps.form || name === provisionSteps.schedule || name === provisionSteps.accept,
  );
  const [prepares, rest] = [ground.steps.slice(0, before), ground.steps.slice(before)];
  const last = new Set<string>([restoreSteps.schedule, restoreSteps.accept]);
  const bytes = source.shards.reduce((sum, { base }) => sum + base.object.plainBytes, 0);
  return {
    ...ground,
    primaries,
    copies,
    spread,
    scratchBytes,
    summary: `${spec.name} gets the data of ${source.cluster}, ${source.what}: ${count(source.shards.length, 'shard')}, ${mibUp(bytes)}${source.proven ? '' : '; no server has loaded it yet'}`,
    steps: [
      ...prepares,
      ...primaries.flatMap(({ place, source: shard }) => [
        layOutStep(place, shard),
        ...rest.filter(({ name }) => name === provisionSteps.node(place)),
      ]),
      ...(spread.length === 0
        ? []
        : [
            { name: restoreSteps.volumes, change: 'empty, and told what data is to come', undo: 'remove them' },
            ...copies.map((shard) => spreadStep(shard, spread.length)),
            ...rest.filter(({ name }) => first.has(name)),
          ]),
      ...(laysOut ? loadSteps(spec, ttl) : []),
      ...rest.filter(({ name }) => !first.has(name) && !last.has(name)),
      ...(laysOut
        ? []
        : [
            ...copies.map((shard) => copyStep(shard, include, ttl, scratchBytes)),
            { name: restoreSteps.count, change: 'the cluster has every key that was copied' },
          ]),
      ...rest.filter(({ name }) => last.has(name)),
    ],
    refusals: [
      ...(known.source === 'none' ? [] : [exists(spec.name)]),
      ...(restoring === undefined || restoring.id === idOf(source, include) || observation.containers.length === 0
        ? []
        : [halfRestored(spec.name, restoring)]),
      ...refuseData(spec, source, asItWas ? 'as it was' : laysOut ? 'spread' : 'copied'),
      ...(known.source === 'none' ? ground.refusals : []),
    ],
    recovery: source.shards.map(plannedRecovery),
  };
}

/** Tells what is brought back from anything else. */
export const idOf = (source: ClusterSource, include: readonly string[]): string =>
  digest(canonicalJson({ shards: source.shards.map(sourceId), include })).slice(0, 16);

/** Only a server can shift times, and tell what a pattern matches. */
function canSpread(spec: ClusterSpec, source: ClusterSource, copies: readonly ShardSource[], include: readonly string[]): boolean {
  const functions = new Set(copies.map(({ base }) => base.functions));
  return (
    include.length === 0 &&
    spec.mode === 'cluster' &&
    modeOf(source) === 'cluster' &&
    functions.size === 1 &&
    copies.every(({ ttl }) => ttl === undefined)
  );
}

const spreadOver = (spec: ClusterSpec): RestorePlan['spread'] =>
  evenSlotRanges(spec.shards).flatMap((range, shard) => {
    const place = firstOf(spec, shard);
    return place === undefined ? [] : [{ place, slots: formatRange(range) }];
  });

const firstOf = (spec: ClusterSpec, shard: number): NodePlace | undefined =>
  placesOf(spec).find((one) => one.kind === 'data' && one.shard === shard && one.ordinal === 0);

function spreadStep(source: ShardSource, nodes: number): PlanStep {
  return {
    name: restoreSteps.spread(source.shard),
    change: `${source.base.keys} keys of ${dataOf(source)} go into the volumes of the ${nodes} primaries, each where it belongs`,
    cost: `${layingOutCost(source)}; more where only a server of its kind can read it, which then sends the keys`,
    undo: 'remove the volumes',
  };
}

function layOutStep({ name }: NodePlace, source: ShardSource): PlanStep {
  return {
    name: restoreSteps.layOut(source.shard),
    change: `${source.base.keys} keys of ${dataOf(source)} go into the volume of ${name}`,
    cost: layingOutCost(source),
    undo: 'remove the volume',
  };
}

export const layingOutCost = (source: ShardSource): string => `about ${Math.ceil(bytesOf(source) / BYTES_A_SECOND)} s`;

/** In words, what the data of a shard is made of. */
export function dataOf({ backup, base, until }: ShardSource): string {
  const from = `${backup === undefined ? 'the base of its archive' : `backup ${backup}`} (${mibUp(base.object.plainBytes)})`;
  if (until === undefined) return from;
  const { reachedMs, bytes } = until;
  return `${from}, and what was written after it until ${new Date(reachedMs).toISOString()} (${mibUp(bytes)})`;
}

/** What was seen on two cores, with the bucket on the same machine. */
const BYTES_A_SECOND = 100 * 1024 ** 2;

/** Keys of 100 bytes that a server sends to others. Without TLS twice as many were seen, on two cores. */
const KEYS_A_SECOND = 50_000;

/** Laid out, and then sent; with `include` nobody knows how many keys match, and it is less. */
function copyingCost(source: ShardSource, include: readonly string[]): string {
  const laidOut = bytesOf(source) / BYTES_A_SECOND;
  const sent = Math.max(laidOut, source.base.keys / KEYS_A_SECOND);
  return `${include.length === 0 ? 'about' : 'at most about'} ${Math.ceil(laidOut + sent)} s`;
}

/** What becomes of keys with a time to live, for people. */
const timesOf = (ttl: RestoreInput['ttl']): string =>
  ttl === 'shift'
    ? 'keys have as much time left as they had then'
    : 'keys whose time has passed since then are gone (ttl: shift keeps them)';

export const loadSteps = (spec: ClusterSpec, ttl: RestoreInput['ttl']): readonly PlanStep[] => [
  {
    name: restoreSteps.load,
    change: `the primaries load their data, and their keys are counted; ${timesOf(ttl)}`,
    cost: 'as long as a server takes to load it',
  },
  ...(ttl === 'shift'
    ? [
        {
          name: restoreSteps.rewrite,
          change: 'else times to live would be shifted once more when a server starts again',
          cost: 'a fork of each primary',
        },
      ]
    : []),
  ...(spec.persistence.aof
    ? []
    : [{ name: restoreSteps.settle, change: 'data is loaded from an append-only file, and the spec wants none' }]),
];

function copyStep(source: ShardSource, include: readonly string[], ttl: RestoreInput['ttl'], scratchBytes: number): PlanStep {
  const { engine, version } = source.base.server;
  const what = include.length === 0 ? `${source.base.keys} keys` : `what matches ${include.join(', ')} of ${source.base.keys} keys`;
  return {
    name: restoreSteps.copy(source.shard),
    change: `a server of ${engine} ${version} loads ${dataOf(source)}; ${what} are sent to where they belong; then it is removed; ${timesOf(ttl)}`,
    cost: `${copyingCost(source, include)}; up to ${mibUp(scratchBytes)} of memory on the host, and disk for the data`,
  };
}

export const modeOf = ({ shards }: ClusterSource): ClusterSpec['mode'] =>
  shards.some(({ slots }) => slots !== '') ? 'cluster' : 'sentinel';

const bytesOf = ({ base, until }: ShardSource): number => base.object.plainBytes + (until?.bytes ?? 0);

/** What a node of the source had, for there the data did fit. */
function keptMemory({ spec }: ClusterSource): number {
  const kept = clusterSpec.safeParse(spec);
  return kept.success ? limitsOf(kept.data, 'data').memoryBytes : 0;
}

const exists = (name: string): string =>
  `a cluster named ${name} exists: restore into another name, look at the data there, and then let the applications use it; or remove what is there (holdfast deprovision ${name})`;

/** Why a cluster of the spec cannot take this data. @param how each shard begins with the data of one; or nodes begin with even shares; or keys are sent to nodes, which refuse what they have no room for */
export function refuseData(spec: ClusterSpec, source: ClusterSource, how: 'as it was' | 'spread' | 'copied'): readonly string[] {
  const refusals: string[] = [];
  const unreadable = source.shards.flatMap(({ base }) => whyUnreadable(base.server, spec) ?? []);
  refusals.push(...new Set(unreadable));
  const slots = source.shards.flatMap((shard) => rangesOf(shard.slots));
  if (modeOf(source) === 'cluster' && countSlots(slots) !== SLOTS)
    refusals.push(`its shards have ${countSlots(slots)} of ${SLOTS} slots: use another backup (holdfast backup list ${source.cluster})`);
  const most =
    how === 'as it was'
      ? Math.max(...source.shards.map(bytesOf))
      : source.shards.reduce((sum, shard) => sum + bytesOf(shard), 0) / spec.shards;
  if (how !== 'copied' && most > maxmemoryOf(spec))
    refusals.push(
      `a shard has ${mibUp(most)} of data, and a node of ${spec.name} may hold ${mibUp(maxmemoryOf(spec))}: give nodes more memory (resources.memory in the changes)`,
    );
  return refusals;
}

/** How many keys of a shard were sent, and how many of them may be gone by themselves. */
export interface CopiedKeys {
  readonly keys: number;
  readonly different: number;
  readonly mortal: number;
}

/** Why a cluster does not have what was copied into it; undefined when it does. Keys whose time was over meanwhile are not missed. */
export function whyNotCopied(copied: readonly CopiedKeys[], observation: Observation): string | undefined {
  const sum = (of: keyof CopiedKeys) => copied.reduce((total, shard) => total + shard[of], 0);
  const there = observation.nodes
    .filter(answered)
    .filter(({ role }) => role === 'primary')
    .reduce((total, { keys }) => total + keys, 0);
  if (there <= sum('keys') && there >= sum('different') - sum('mortal')) return undefined;
  return `${sum('different')} keys were copied, ${sum('mortal')} keys of the data have a time to live, and the cluster has ${there}: who else writes to it?`;
}
