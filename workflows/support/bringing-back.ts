import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import type { RestoreReport } from '../../config/restore.ts';
import { hostOf } from '../../model/known-cluster.ts';
import type { NodePlace } from '../../model/layout.ts';
import { slotsThatMoved } from '../../model/plan-backup.ts';
import { idOf, type RestorePlan, restoreSteps as steps, whyNotCopied } from '../../model/plan-restore.ts';
import { type ClusterSource, plannedRecovery } from '../../model/recovery/shard-recovery.ts';
import type { Ground } from './building.ts';
import { fail, typeOf } from './failure.ts';
import { createGate } from './gate.ts';
import { onHost, restores } from './proxies.ts';
import type { Operation } from './stages.ts';
import { settleAll } from './undo.ts';

/** What a restore does once the ground of the new cluster is prepared. */
export interface BringingBack {
  readonly op: Operation;
  readonly spec: ClusterSpec;
  readonly plan: RestorePlan;
  readonly ground: Ground;
  readonly source: ClusterSource;
  readonly shardsAtOnce: number;
}

export interface BroughtBack extends Pick<RestoreReport, 'shards' | 'keys' | 'expired'> {
  /** ms since 1970. */
  readonly loadedAt: number;
}

const KINDS = ['data', 'sentinel'] as const;

/** A node that begins with data, which it must have loaded. */
interface Beginner {
  readonly place: NodePlace;
  readonly source: Parameters<Restores['awaitLoaded']>[0]['source'];
  readonly bytes: number;
}

/** The primaries find their data when they first start, each as soon as it is there; the others come when all is loaded and counted. */
export async function loadIn(parts: BringingBack): Promise<BroughtBack> {
  const { op, spec, plan, ground, source, shardsAtOnce } = parts;
  const hostName = hostOf(spec);
  const { primaries } = plan;
  const shifts = source.shards.some(({ ttl }) => ttl === 'shift');
  const laidOut = await layOutAll(
    { op, primaries, shardsAtOnce },
    ({ place, source: shard }) => restores(hostName, place.name).fillShard({ node: ground.requestFor(place), source: shard }),
    ({ did, bytes }) => `${did}: ${bytes} bytes`,
    // Times that are shifted end so long after a server has loaded: all begin with that together.
    ({ place }, { id }) => (shifts ? Promise.resolve() : ground.start([place], new Map([[place.name, { id, shifts }]]))),
  );
  const first = primaries.map(({ place }) => place);
  if (shifts) await ground.start(first, new Map([...laidOut].map(([name, { id }]) => [name, { id, shifts }])));
  const beginners = primaries.map(({ place, source: shard }) => ({ place, source: shard, bytes: laidOut.get(place.name)?.bytes ?? 0 }));
  const reachedMs = new Map(first.map((place) => [place.shard, laidOut.get(place.name)?.reachedMs]));
  return endLoading(parts, beginners, source.shards, reachedMs);
}

/** The keys go to where they belong now: before the servers start, or sent by servers when they find something in the data that only they can take apart. */
export async function redistribute(parts: BringingBack, include: readonly string[]): Promise<BroughtBack> {
  if (parts.plan.spread.length === 0) return copyIn(parts, include);
  try {
    return await spreadIn(parts);
  } catch (error) {
    if (typeOf(error) !== failures.formatNotSupported) throw error;
    await removeSpread(parts);
    return copyIn(parts, include);
  }
}

/** Also those that an earlier run has left, which was terminated. */
async function removeSpread({ spec, plan, ground }: BringingBack): Promise<void> {
  const how = { clusterId: ground.clusterId, orderly: false, withVolume: true };
  await settleAll(
    plan.spread.map(({ place }) => {
      const { newSince } = ground.requestFor(place);
      const removal = newSince === undefined ? how : { ...how, newSince };
      return onHost(hostOf(spec), place.name).removeNode(spec.name, place.name, removal);
    }),
  );
}

/** The primaries find the keys of their slots when they first start, whichever shards had them before. @throws FormatNotSupported before any of them starts */
async function spreadIn(parts: BringingBack): Promise<BroughtBack> {
  const { op, spec, plan, ground, source, shardsAtOnce } = parts;
  const hostName = hostOf(spec);
  const id = idOf(source, []);
  const onNode = (place: NodePlace) => onHost(hostName, place.name);
  const [leader] = plan.copies;
  const after = { until: plan.copies.find(({ until }) => until !== undefined)?.until };
  const found = new Map<string, Beginner>();
  const containers = new Map<string, string>();
  await op.step(steps.volumes, () =>
    op.together(
      plan.spread.map(({ place, slots }) => async () => {
        const { container, found: whole } = await onNode(place).prepareVolume({ node: ground.requestFor(place), id });
        containers.set(place.name, container);
        if (whole?.holds !== undefined) found.set(place.name, beginnerOf({ place, slots }, after, whole.bytes, whole.holds));
      }),
    ),
  );
  const wanting = plan.spread.filter(({ place }) => !found.has(place.name));
  const targets = wanting.map(({ place: { name }, slots }) => ({ name, container: containers.get(name) ?? '', slots }));
  const spread: Awaited<ReturnType<Restores['spreadShard']>>[] = [];
  if (targets.length > 0)
    await op.together(
      plan.copies.map((shard) => async () => {
        const request = { clusterId: ground.clusterId, id, targets, source: shard, functions: shard === leader };
        const run = () => restores(hostName, `shard ${shard.shard}`).spreadShard(request);
        spread.push(await op.step(steps.spread(shard.shard), run, ({ shares }) => `${sumOf(shares, 'keys')} keys`));
      }),
      shardsAtOnce,
    );
  spread.sort((a, b) => a.shard - b.shard);
  await op.together(
    wanting.map((target) => async () => {
      const { name } = target.place;
      const shares = spread.flatMap(({ shard, attempt, shares }) =>
        shares.filter((share) => share.name === name).map((share) => ({ ...share, shard, attempt })),
      );
      const bytes = sumOf(shares, 'bytes');
      const holds = { keys: sumOf(shares, 'keys'), functions: leader?.base.functions ?? 0 };
      const container = containers.get(name) ?? '';
      await onNode(target.place).completeVolume({ name, container, clusterId: ground.clusterId, id, shares, whole: { bytes, holds } });
      found.set(name, beginnerOf(target, after, bytes, holds));
    }),
  );
  const beginners = plan.spread.flatMap(({ place }) => found.get(place.name) ?? []);
  const [given, had] = [keysOf(beginners.map(({ source: its }) => its)), keysOf(plan.copies)];
  // Of a moment some stand in the bases of two shards, and one of them has them.
  if (after.until === undefined && given !== had)
    throw fail(
      failures.verificationFailed,
      `the nodes were given ${given} keys, and the backup has ${had}: report this, and restore into as many shards as there were`,
    );
  await ground.start(
    beginners.map(({ place }) => place),
    new Map(beginners.map(({ place }) => [place.name, { id, shifts: false }])),
  );
  const ends = await endLoading(
    parts,
    beginners,
    beginners.map(({ source: { shard, slots } }) => ({ shard, slots })),
    new Map(spread.map(({ shard, reachedMs }) => [shard, reachedMs])),
  );
  // What an attempt has left that was given up, or a run that was ended.
  if (spread.some(({ attempt }) => attempt > 1) || wanting.length < plan.spread.length)
    await settleAll(plan.spread.map(({ place }) => onNode(place).removeStrayPieces(place.name)));
  return ends;
}

const beginnerOf = (
  { place, slots }: RestorePlan['spread'][number],
  { until }: { readonly until: Beginner['source']['until'] },
  bytes: number,
  base: Beginner['source']['base'],
): Beginner => ({
  place,
  source: { shard: place.shard, slots, base, ...(until === undefined ? {} : { until }) },
  bytes,
});

const sumOf = <K extends string>(all: readonly Readonly<Record<K, number>>[], of: K): number => all.reduce((sum, one) => sum + one[of], 0);

const keysOf = (all: readonly { readonly base: { readonly keys: number } }[]): number => all.reduce((sum, { base }) => sum + base.keys, 0);

/** The nodes that begin with data have loaded it, the others come, and all of them agree. */
async function endLoading(
  { op, spec, plan, ground, source }: BringingBack,
  beginners: readonly Beginner[],
  slots: readonly { readonly shard: number; readonly slots: string }[],
  reachedMs: Parameters<typeof recovered>[1],
): Promise<BroughtBack> {
  const hostName = hostOf(spec);
  const first = beginners.map(({ place }) => place);
  const loaded = await op.step(
    steps.load,
    async () => {
      const found: Loaded[] = [];
      await op.together(
        beginners.map((beginner) => async () => {
          found.push(await restores(hostName, beginner.place.name).awaitLoaded({ spec, subnet: ground.subnet, ...beginner }));
        }),
      );
      return found;
    },
    (all) => `${sumOf(all, 'keys')} keys`,
  );
  const loadedAt = Date.now();
  if (plan.steps.some(({ name }) => name === steps.rewrite))
    await op.step(steps.rewrite, () =>
      settleAll(first.map((place) => restores(hostName, place.name).rewriteFiles({ spec, place, subnet: ground.subnet }))),
    );
  if (!spec.persistence.aof) await op.step(steps.settle, () => onHost(hostName).applyParameters(spec, { appendonly: 'no' }));
  const others = plan.nodes.filter(({ name }) => !first.some((place) => place.name === name));
  for (const kind of KINDS) await ground.start(others.filter((node) => node.kind === kind));
  await ground.form();
  if (spec.mode === 'cluster') {
    const moved = slotsThatMoved(spec, { ...op.known, clusterId: ground.clusterId }, slots, await op.observe(spec));
    if (moved.length > 0)
      throw fail(failures.verificationFailed, `shard ${moved.join(', ')} has other slots than it was given: who moves them?`);
  }
  return { shards: recovered(source, reachedMs), keys: sumOf(loaded, 'keys'), expired: sumOf(loaded, 'expired'), loadedAt };
}

/**
 * The data of every shard is laid out for the node that leads it, as a step each, so many at a time.
 * @param then what a shard goes on with meanwhile, while others are laid out
 * @returns what was found, by the name of the node
 */
export async function layOutAll<T>(
  { op, primaries, shardsAtOnce }: Pick<BringingBack, 'op' | 'shardsAtOnce'> & Pick<RestorePlan, 'primaries'>,
  layOut: (primary: Primary) => Promise<T>,
  note: (found: T) => string,
  then: (primary: Primary, found: T) => Promise<void> = async () => undefined,
): Promise<ReadonlyMap<string, T>> {
  const laidOut = new Map<string, T>();
  const gate = createGate(shardsAtOnce);
  await op.together(
    primaries.map((primary) => async () => {
      const found = await gate(() => op.step(steps.layOut(primary.place.shard), () => layOut(primary), note));
      laidOut.set(primary.place.name, found);
      await then(primary, found);
    }),
  );
  return laidOut;
}

type Restores = ReturnType<typeof restores>;
type Loaded = Awaited<ReturnType<Restores['awaitLoaded']>>;
type Primary = RestorePlan['primaries'][number];

/** The cluster runs, empty; servers beside it load the shards and send the keys to where they belong. */
async function copyIn({ op, spec, plan, ground, source, shardsAtOnce }: BringingBack, include: readonly string[]): Promise<BroughtBack> {
  const hostName = hostOf(spec);
  for (const kind of KINDS) await ground.start(plan.nodes.filter((node) => node.kind === kind));
  await ground.form();
  op.onFailure('remove the servers that data is copied from', () => onHost(hostName).removeCopySources(spec.name));
  const copied: Awaited<ReturnType<Restores['copyShard']>>[] = [];
  await op.together(
    plan.copies.map(
      (shard) => () =>
        op.step(
          steps.copy(shard.shard),
          async () => {
            const { subnet } = ground;
            const request = { spec, subnet, source: shard, include, memoryBytes: plan.scratchBytes };
            const found = await restores(hostName, `shard ${shard.shard}`).copyShard(request);
            copied.push(found);
            return found;
          },
          ({ keys }) => `${keys} keys`,
        ),
    ),
    shardsAtOnce,
  );
  const loadedAt = Date.now();
  if (include.length > 0 && copied.every(({ keys }) => keys === 0))
    throw fail(failures.refused, `no key of ${source.cluster} matches ${include.join(', ')}, ${source.what}: nothing was brought back`);
  await op.step(steps.count, async () => {
    const why = whyNotCopied(copied, await op.observe(spec));
    if (why !== undefined) throw fail(failures.verificationFailed, why);
    await onHost(hostName).removeCopySources(spec.name); // an attempt that was given up may have left one
  });
  const reachedMs = new Map(copied.map((one) => [one.shard, one.reachedMs]));
  return { shards: recovered(source, reachedMs), keys: sumOf(copied, 'keys'), expired: 0, loadedAt };
}

/** As in the plan, with the moments that were found. */
export const recovered = (source: ClusterSource, reachedMs: ReadonlyMap<number, number | undefined>): RestoreReport['shards'] =>
  source.shards.map((shard) => {
    const ms = reachedMs.get(shard.shard);
    return { ...plannedRecovery(shard), ...(ms === undefined ? {} : { at: new Date(ms).toISOString() }) };
  });
