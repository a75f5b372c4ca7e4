import { randomBytes } from 'node:crypto';
import { cancellationSignal, cancelled } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { ArchiveActivities } from '../../activities/archive-activities.ts';
import type { ControlActivities } from '../../activities/control-activities.ts';
import type { DataActivities } from '../../activities/data-activities.ts';
import type { HostActivities } from '../../activities/host-activities.ts';
import { type ClosedSlots, refuseConflicts } from '../../activities/migration/close-open-slots.ts';
import type { MoveRequest } from '../../activities/migration/move-state.ts';
import { noTotals, reportOf } from '../../activities/migration/move-state.ts';
import { type MasterKeys, masterKeyId } from '../../activities/secrets/master-keys.ts';
import type { StreamStore } from '../../activities/storage/object-store.ts';
import { type ClusterSpec, type ClusterSpecInput, clusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import { backupKeys, volumeName } from '../../config/names.ts';
import type { SealedFacts } from '../../config/sealed.ts';
import { assess } from '../../model/health.ts';
import { limitsOf as limitsFor, nanoCpus, nodeIdOf, placesOf } from '../../model/layout.ts';
import { type SlotMove, slotsOf, toRanges } from '../../model/migration/moves.ts';
import type { Closing } from '../../model/migration/open-slots.ts';
import { ownersOf } from '../../model/migration/planned-moves.ts';
import { type BigKeyScan, noScan, type SlotSurvey } from '../../model/migration/survey.ts';
import type { ClusterMember, Observation, Unfinished } from '../../model/observation.ts';
import { liveParameters, maxmemoryOf, refusesWrites } from '../../model/server-conf.ts';
import { evenSlotRanges, formatRange, SLOTS } from '../../model/slots.ts';
import { uniqueName } from '../support/clusters.ts';
import { CLUSTER_ID, emptyObservation, healthyObservation, subnetOf } from '../unit/model-observations.ts';

/** What an activity is made to do before it does its work: throw, or wait. */
export type Before = (args: readonly unknown[]) => Promise<void> | void;

export interface Hold {
  readonly reached: Promise<void>;
  release(): void;
}

type ActivityName = keyof ArchiveActivities | keyof HostActivities | keyof ControlActivities | keyof DataActivities;

/** An engine, its nodes and their secrets, played by a few sets. What activities change in it, later ones see. */
export interface World {
  readonly spec: ClusterSpec;
  /** Activities that ran, in order, with the node that they were about. */
  readonly calls: string[];
  readonly containers: Set<string>;
  readonly volumes: Set<string>;
  network: boolean;
  secrets: boolean;
  /** What the servers and limits are set to now. */
  parametersOf: ClusterSpec;
  readonly limitsOf: Map<string, ClusterSpec>;
  usersOf: ClusterSpec;
  /** The largest shape that was ever asked for: it names every node that may be there. */
  shape: ClusterSpec;
  /** Nodes that came later and joined; nodes that were forgotten. */
  readonly joined: Set<string>;
  readonly forgotten: Set<string>;
  /** Nodes that cannot be promoted. */
  readonly retired: Set<string>;
  /** The ordinal of the node that leads a shard, where it is not 0. */
  readonly leaders: Map<number, number>;
  /** The shard of each slot, and its keys. */
  readonly owners: number[];
  readonly keys: number[];
  scan: BigKeyScan;
  /** Whether its servers can move slots by themselves, and why they do not all the same. */
  native: boolean;
  refusesNative: string | undefined;
  /** What a move that is asked to stop was waiting for: it ends with slots that may be open. */
  waitsFor: string | undefined;
  closings: readonly Closing[];
  /** Replicas that the sentinels know, once they were told to look anew. */
  sentinelsKnow: number | undefined;
  /** What moves of slots were asked for, in order. */
  readonly moveRequests: MoveRequest[];
  /** Moves of slots that stand still after so many, each for one attempt. */
  readonly stands: Stand[];
  /** Shards whose backup is damaged; scratch servers that were left. */
  readonly damaged: Set<number>;
  /** Shards whose data only a server can take apart. */
  readonly strange: Set<number>;
  readonly scratches: Set<number>;
  /** Of a restore in place: whose data each node has, those that cannot be started, and whether an operation was broken off. */
  readonly replaced: Set<string>;
  readonly barred: Set<string>;
  unfinished: Unfinished | undefined;
  /** No client can write. */
  refusesWrites: boolean;
  /** What its workers have, and the one that its secrets are sealed under. */
  masterKeys: MasterKeys;
  sealedUnder: string;
  /** Shards whose writes are archived now. */
  readonly archived: Set<number>;
  /** Changes what is observed, from now on. */
  distort: (seen: Observation) => Observation;
  readonly befores: Map<string, Before>;
  before(activity: ActivityName, what: Before): void;
  /** Makes calls of an activity wait, until they are released or cancelled. @param from the first one of them that waits @default 1 */
  hold(activity: ActivityName, from?: number): Hold;
  /** Makes the next move stand still when it has moved so many slots, until it is released or asked to stop: then it ends well, as the real one. */
  standAfter(slots: number): Hold;
}

interface Stand {
  readonly after: number;
  readonly reached: () => void;
  readonly released: Promise<void>;
}

/** A world with nothing in it, of a cluster of its own. */
export function createWorld(changes: Partial<ClusterSpecInput>): World {
  const spec = clusterSpec.parse({ name: uniqueName(), engine: 'valkey', version: '9.1', deletionProtection: false, ...changes });
  const befores = new Map<string, Before>();
  const stands: Stand[] = [];
  const masterKey = randomBytes(32);
  return {
    spec,
    masterKeys: [masterKey],
    sealedUnder: masterKeyId(masterKey),
    calls: [],
    containers: new Set(),
    volumes: new Set(),
    network: false,
    secrets: false,
    parametersOf: spec,
    limitsOf: new Map(),
    usersOf: spec,
    shape: spec,
    joined: new Set(),
    forgotten: new Set(),
    retired: new Set(),
    leaders: new Map(),
    owners: [...ownersOf(evenSlotRanges(spec.shards).map((range, shard) => ({ shard, slots: [range] })))],
    keys: new Array<number>(SLOTS).fill(10),
    scan: noScan,
    native: false,
    refusesNative: undefined,
    waitsFor: undefined,
    closings: [],
    sentinelsKnow: undefined,
    moveRequests: [],
    stands,
    damaged: new Set(),
    strange: new Set(),
    scratches: new Set(),
    replaced: new Set(),
    barred: new Set(),
    unfinished: undefined,
    refusesWrites: false,
    archived: new Set(),
    distort: (seen) => seen,
    befores,
    before: (activity, what) => void befores.set(activity, what),
    hold(activity, from = 1) {
      const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      let calls = 0;
      befores.set(activity, async () => {
        if (++calls < from) return;
        reached.resolve();
        await Promise.race([released.promise, cancelled()]);
      });
      return {
        reached: reached.promise,
        release: () => {
          befores.delete(activity);
          released.resolve();
        },
      };
    },
    standAfter(after) {
      const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      stands.push({ after, reached: () => reached.resolve(), released: released.promise });
      return { reached: reached.promise, release: () => released.resolve() };
    },
  };
}

/** What the nodes and the engine of a world say. */
function lookAt(world: World): Observation {
  const { spec, shape, containers, volumes, network, parametersOf, limitsOf, joined, forgotten, leaders, owners, sentinelsKnow } = world;
  if (containers.size + volumes.size === 0 && !network) return world.distort(emptyObservation(spec));
  const all = healthyObservation(shape);
  const first = new Set(placesOf(spec).map(({ name }) => name));
  const places = placesOf(shape).filter(({ kind }) => kind === 'data');
  const known = new Set(places.map(({ name }) => name).filter((name) => (first.has(name) || joined.has(name)) && !forgotten.has(name)));
  const placeOf = new Map(places.flatMap((place) => [[place.name, place] as const, [nodeIdOf(CLUSTER_ID, place.name), place] as const]));
  const leads = (name: string) => placeOf.get(name)?.ordinal === (leaders.get(placeOf.get(name)?.shard ?? -1) ?? 0);
  const replicasOf = (shard: number) => places.filter((one) => one.shard === shard && !leads(one.name) && containers.has(one.name)).length;
  const there = <T extends { readonly name: string }>(things: readonly T[]) => things.filter(({ name }) => containers.has(name));
  const memberNow = (member: ClusterMember, which: ReadonlySet<string>): readonly ClusterMember[] => {
    const place = placeOf.get(member.nodeId);
    if (place === undefined || !which.has(place.name)) return [];
    const leader = places.find((one) => one.shard === place.shard && leads(one.name));
    const slots = toRanges(owners.flatMap((shard, slot) => (shard === place.shard ? [slot] : [])));
    return leads(place.name)
      ? [{ ...member, role: 'primary', primaryId: '', slots }]
      : [{ ...member, role: 'replica', primaryId: nodeIdOf(CLUSTER_ID, leader?.name ?? ''), slots: [] }];
  };
  const { network: made, ...rest } = all;
  return world.distort({
    ...rest,
    ...(network && made !== undefined ? { network: { ...made, subnet: subnetOf(spec) } } : {}),
    containers: there(all.containers).map((container) => {
      const { memoryBytes, cpus } = limitsFor(limitsOf.get(container.name) ?? spec, container.kind);
      return { ...container, memoryBytes, nanoCpus: nanoCpus(cpus) };
    }),
    nodes: there(all.nodes).map((node) => {
      if (!node.answers) return node;
      const parameters = { ...liveParameters(parametersOf), ...(world.refusesWrites ? refusesWrites : {}) };
      return leads(node.name)
        ? { ...node, role: 'primary', parameters, replication: { offset: 1000, replicas: replicasOf(placeOf.get(node.name)?.shard ?? -1) } }
        : { ...node, role: 'replica', parameters, replication: { ...node.replication, offset: 1000, linkUp: true, replicas: 0 } };
    }),
    sentinels: there(all.sentinels).map((one) => (one.answers ? { ...one, replicas: sentinelsKnow ?? one.replicas } : one)),
    volumes: all.volumes.filter((volume) => volumes.has(volume.name)),
    views: all.views
      .filter(() => containers.size > 0)
      .flatMap(({ members }) => {
        const running = places.map(({ name }) => name).filter((name) => containers.has(name));
        const [inside, outside] = [running.filter((name) => known.has(name)), running.filter((name) => forgotten.has(name))];
        // A node that was forgotten still knows all others.
        const views = [
          { digest: 'v1', seenBy: inside, members: members.flatMap((member) => memberNow(member, known)) },
          ...(outside.length === 0
            ? []
            : [
                { digest: 'v2', seenBy: outside, members: members.flatMap((member) => memberNow(member, new Set([...known, ...outside]))) },
              ]),
        ];
        return views.toSorted((a, b) => b.seenBy.length - a.seenBy.length);
      }),
  });
}

const larger = (a: ClusterSpec, b: ClusterSpec): ClusterSpec => (placesOf(b).length > placesOf(a).length ? b : a);
const fatal = (message: string) => ApplicationFailure.nonRetryable(message, failures.verificationFailed);

/** What would run next to the engine. */
export function playedHost(current: () => World): HostActivities {
  return {
    observe: async () => {
      const { unfinished } = current();
      return { ...lookAt(current()), ...(unfinished === undefined ? {} : { unfinished }) };
    },
    listClusters: async () => [],
    ensureImage: async () => ({ pulled: false }),
    async ensureNetwork(spec) {
      current().network = true;
      return { name: '', subnet: subnetOf(spec) };
    },
    async ensureNode({ spec, place }) {
      const world = current();
      const did = world.containers.has(place.name) ? 'found' : 'made';
      if (world.barred.has(place.name)) throw fatal(`${place.name} is barred`);
      const others = [...world.containers].filter((name) => !name.includes('sentinel'));
      if (place.kind === 'data' && others.some((name) => world.replaced.has(name) !== world.replaced.has(place.name)))
        throw fatal('nodes with the data before would serve beside nodes with other data');
      world.shape = larger(world.shape, spec);
      world.containers.add(place.name);
      world.volumes.add(volumeName(place.name));
      world.forgotten.delete(place.name);
      return { did };
    },
    async awaitFormed(spec) {
      const { sound, headline, findings } = assess(spec, lookAt(current()));
      if (!sound) throw ApplicationFailure.nonRetryable(`${spec.name} did not form: ${headline}`, failures.verificationFailed, findings);
      return { headline };
    },
    async applyParameters(spec) {
      current().refusesWrites = false;
      current().parametersOf = spec;
    },
    async refuseWrites() {
      current().refusesWrites = true;
    },
    async requireWritesRefused() {
      if (!current().refusesWrites) throw fatal('somebody may have written');
    },
    async takeWrites() {
      current().refusesWrites = false;
    },
    async applyUsers(spec) {
      current().usersOf = spec;
      return { removed: [] };
    },
    async setLimits(spec, node) {
      current().limitsOf.set(node, spec);
    },
    async removeNode(_, node, { withVolume }) {
      current().containers.delete(node);
      current().retired.delete(node);
      if (withVolume) current().volumes.delete(volumeName(node));
    },
    async removeVolume(_, volume) {
      current().volumes.delete(volume);
    },
    async removeNetwork() {
      current().network = false;
    },
    async joinCluster({ spec }) {
      const data = placesOf(spec).filter(({ kind }) => kind === 'data');
      for (const { name } of data) current().joined.add(name);
      return { members: data.length };
    },
    async retireNodes({ spec, nodes }) {
      const { leaders, retired } = current();
      const leads = placesOf(spec).find(({ name, shard, ordinal }) => nodes.includes(name) && ordinal === (leaders.get(shard) ?? 0));
      if (spec.mode === 'sentinel' && leads !== undefined)
        throw ApplicationFailure.nonRetryable(`${leads.name} is the primary of ${spec.name} now`, failures.refused);
      for (const name of nodes) retired.add(name);
    },
    async reinstateNodes({ nodes }) {
      for (const name of nodes) current().retired.delete(name);
    },
    async forgetNodes({ spec, nodes }) {
      const { owners, forgotten, joined } = current();
      const shards = new Set(placesOf(spec).flatMap(({ name, shard, ordinal }) => (nodes.includes(name) && ordinal === 0 ? [shard] : [])));
      if (owners.some((shard) => shards.has(shard))) throw fatal('one that is to be forgotten still owns slots');
      for (const name of nodes) {
        forgotten.add(name);
        joined.delete(name);
      }
    },
    async requireEmptied({ shards }) {
      if (current().owners.some((shard) => shards.includes(shard))) throw fatal('a shard that leaves still owns slots');
    },
    async promoteReplica(_, node) {
      const { leaders, shape } = current();
      const place = placesOf(shape).find(({ name }) => name === node);
      if (place !== undefined) leaders.set(place.shard, place.ordinal);
    },
    async resetSentinels(spec) {
      current().sentinelsKnow = spec.replicasPerShard;
    },
    async surveySlots({ spec }): Promise<SlotSurvey> {
      const each = <T>(value: T) => new Array<T>(spec.shards).fill(value);
      const memory = each({ used: 2_000_000, max: maxmemoryOf(spec) });
      const native = current().native ? ({ native: 'valkey' } as const) : {};
      return { keys: [...current().keys], bytesFrom: 'average', bytesPerKey: each(100), memory, ...native };
    },
    scanBigKeys: async () => current().scan,
    findOpenSlots: async () => current().closings,
    async verifyShard({ shard, how }) {
      current().scratches.add(shard.shard);
      if (current().damaged.has(shard.shard)) throw ApplicationFailure.nonRetryable('frame 0 does not open', failures.objectDamaged);
      current().scratches.delete(shard.shard);
      return how === 'checksum'
        ? { tookMs: 1 }
        : { tookMs: 1, counted: { shard: shard.shard, keys: shard.keys, functions: 0 }, server: shard.server };
    },
    async fillShard({ node: { place }, source }) {
      const { containers, volumes, damaged } = current();
      containers.add(place.name);
      volumes.add(volumeName(place.name));
      if (damaged.has(place.shard)) throw ApplicationFailure.nonRetryable('frame 0 does not open', failures.objectDamaged);
      return { id: `data of ${place.shard}`, bytes: source.base.object.plainBytes, did: 'laid out' };
    },
    async prepareVolume({ node: { place } }) {
      const { containers, volumes } = current();
      containers.add(place.name);
      volumes.add(volumeName(place.name));
      return { container: `id of ${place.name}` };
    },
    async spreadShard({ targets, source: { shard, base } }) {
      if (current().damaged.has(shard)) throw ApplicationFailure.nonRetryable('frame 0 does not open', failures.objectDamaged);
      if (current().strange.has(shard)) throw ApplicationFailure.nonRetryable('something of type 99', failures.formatNotSupported);
      const [first] = targets;
      const keys = Number(base.keys);
      return { shard, attempt: 1, shares: first === undefined ? [] : [{ name: first.name, files: 1, bytes: 10, keys }] };
    },
    completeVolume: async () => undefined,
    removeStrayPieces: async () => undefined,
    async copyShard({ source: { shard, base } }) {
      current().scratches.add(shard);
      if (current().damaged.has(shard)) throw ApplicationFailure.nonRetryable('frame 0 does not open', failures.objectDamaged);
      current().scratches.delete(shard);
      return { shard, keys: base.keys, different: base.keys, mortal: 0 };
    },
    async removeCopySources() {
      current().scratches.clear();
    },
    async layOutBeside({ place, source }) {
      if (current().damaged.has(place.shard)) throw ApplicationFailure.nonRetryable('frame 0 does not open', failures.objectDamaged);
      return { bytes: source.base.object.plainBytes, folder: 'beside' };
    },
    async haltNode({ place }) {
      current().containers.delete(place.name);
    },
    async barNode({ place, replacement, leaders }) {
      const { containers, barred } = current();
      containers.delete(place.name);
      barred.add(place.name);
      current().unfinished = { replacement, leaders };
    },
    async barAgain({ place }) {
      const { containers, barred, unfinished } = current();
      containers.delete(place.name);
      if (unfinished !== undefined) barred.add(place.name);
    },
    async replaceData({ place }) {
      current().refusesWrites = false; // its settings are the spec's
      const { barred, replaced, shape } = current();
      const data = placesOf(shape).filter(({ kind }) => kind === 'data');
      if (data.some(({ name }) => !barred.has(name) && !replaced.has(name))) throw fatal('not all of them are barred');
      barred.delete(place.name);
      replaced.add(place.name);
    },
    async putBackData({ place }) {
      const { barred, replaced } = current();
      if ([...replaced].some((name) => !barred.has(name))) throw fatal('one of them could still serve the other data');
      barred.delete(place.name);
      replaced.delete(place.name);
    },
    async commitData({ replacement }) {
      current().unfinished = { replacement, leaders: [], committed: true };
    },
    async clearFormerData() {
      current().unfinished = undefined;
    },
    findUnfinished: async () => current().unfinished,
    rewriteFiles: async () => undefined,
    awaitServes: async () => undefined,
    awaitLoaded: async ({ source: { shard, base } }) => ({ shard, keys: base.keys, expired: 0, functions: base.functions, dropped: 0 }),
    async removeScratches() {
      current().scratches.clear();
    },
  };
}

/** What would move data. */
export function playedData(current: () => World, store: StreamStore): DataActivities {
  const stored = async (key: string): Promise<SealedFacts> => {
    await store.put(key, 'sealed');
    const sha = '0'.repeat(64);
    return { id: '', kek: `000001-${'0'.repeat(16)}`, plainBytes: 10, plainSha256: sha, storedBytes: 6, storedSha256: sha };
  };
  return {
    async backUpShard({ spec, backup, shard, node }) {
      const { owners, keys } = current();
      const own = owners.flatMap((owner, slot) => (owner === shard ? [slot] : []));
      const key = backupKeys.shard(spec.name, backup, shard, '00000000');
      const object = { ...(await stored(key)), id: `${shard}`.padStart(32, '0') };
      const server = { engine: spec.engine, version: `${spec.version}.0` };
      const place = {
        replid: '0'.repeat(40),
        offset: 1000,
        slots: spec.mode === 'sentinel' ? '' : toRanges(own).map(formatRange).join(','),
        node,
        server,
        database: 0,
        functions: 0,
      };
      return {
        shard,
        key,
        object,
        ...place,
        keys: own.reduce((sum, slot) => sum + (keys[slot] ?? 0), 0),
        startedAt: new Date().toISOString(),
        tookMs: 1,
      };
    },
    async backUpAcl({ spec, backup }) {
      const key = backupKeys.acl(spec.name, backup, '00000000');
      return { key, object: { ...(await stored(key)), id: 'f'.repeat(32) } };
    },
    async moveSlots(request) {
      const world = current();
      const { owners, keys } = world;
      const asked = cancellationSignal();
      const stopped = new Promise<void>((resolve) => asked.addEventListener('abort', () => resolve()));
      const stand = world.stands.shift();
      world.moveRequests.push(request);
      const left = (move: SlotMove) => slotsOf(move.slots).filter((slot) => owners[slot] !== move.to);
      const all = request.moves.flatMap((move) => left(move).map((slot) => ({ move, slot })));
      let totals = { ...(request.soFar ?? noTotals(request.strategy)), strategy: request.strategy };
      const fellBack = request.strategy === 'native' ? world.refusesNative : undefined;
      if (fellBack !== undefined)
        return { complete: false, totals, report: reportOf(totals, request.moves, (move) => left(move).length, 0), fellBack };
      for (const [count, { move, slot }] of all.entries()) {
        if (stand?.after === count) {
          stand.reached();
          await Promise.race([stand.released, stopped]);
        }
        if (asked.aborted) break;
        owners[slot] = move.to;
        totals = { ...totals, keys: totals.keys + (keys[slot] ?? 0), acknowledged: totals.acknowledged + 1, tookMs: totals.tookMs + 1 };
      }
      const complete = request.moves.every((move) => left(move).length === 0);
      const interrupted = asked.aborted ? world.waitsFor : undefined;
      return {
        complete,
        totals,
        report: reportOf(totals, request.moves, (move) => left(move).length, 0),
        ...(interrupted === undefined ? {} : { interrupted }),
      };
    },
    async repairSlots({ spec }) {
      const world = current();
      const closings = world.closings;
      world.closings = closings.filter(({ how }) => how === 'person');
      const closed: ClosedSlots = {
        finished: closings.flatMap((one) => (one.how === 'finish' ? [one.slot] : [])),
        settled: closings.flatMap((one) => (one.how === 'settle' ? [one.slot] : [])),
        persons: closings.flatMap((one) => (one.how === 'person' ? [{ slot: one.slot, why: one.why }] : [])),
      };
      refuseConflicts(spec.name, closed);
      return closed;
    },
    removeProbeKeys: async () => undefined,
  };
}
