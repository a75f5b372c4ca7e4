import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import type { RestoreReport } from '../../config/restore.ts';
import { hostOf } from '../../model/known-cluster.ts';
import { slotsThatMoved } from '../../model/plan-backup.ts';
import { type RestorePlan, restoreSteps as steps, whyNotCopied } from '../../model/plan-restore.ts';
import { type ClusterSource, plannedRecovery } from '../../model/recovery/shard-recovery.ts';
import type { Ground } from './building.ts';
import { fail } from './failure.ts';
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

/** The primaries find their data when they first start, each as soon as it is there; the others come when all is loaded and counted. */
export async function loadIn({ op, spec, plan, ground, source, shardsAtOnce }: BringingBack): Promise<BroughtBack> {
  const hostName = hostOf(spec);
  const { primaries } = plan;
  const first = primaries.map(({ place }) => place);
  const shifts = source.shards.some(({ ttl }) => ttl === 'shift');
  const laidOut = await layOutAll(
    { op, primaries, shardsAtOnce },
    ({ place, source: shard }) => restores(hostName, place.name).fillShard({ node: ground.requestFor(place), source: shard }),
    ({ did, bytes }) => `${did}: ${bytes} bytes`,
    // Times that are shifted end so long after a server has loaded: all begin with that together.
    ({ place }, { id }) => (shifts ? Promise.resolve() : ground.start([place], new Map([[place.name, { id, shifts }]]))),
  );
  if (shifts) await ground.start(first, new Map([...laidOut].map(([name, { id }]) => [name, { id, shifts }])));
  const loaded = await op.step(
    steps.load,
    async () => {
      const found: Loaded[] = [];
      await op.together(
        primaries.map(({ place, source: shard }) => async () => {
          const bytes = laidOut.get(place.name)?.bytes ?? 0;
          found.push(await restores(hostName, place.name).awaitLoaded({ spec, place, subnet: ground.subnet, source: shard, bytes }));
        }),
      );
      return found;
    },
    (all) => `${all.reduce((sum, { keys }) => sum + keys, 0)} keys`,
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
    const moved = slotsThatMoved(spec, { ...op.known, clusterId: ground.clusterId }, source.shards, await op.observe(spec));
    if (moved.length > 0) throw fail(failures.verificationFailed, `shard ${moved.join(', ')} has other slots than it had: who moves them?`);
  }
  const reachedMs = new Map(first.map((place) => [place.shard, laidOut.get(place.name)?.reachedMs]));
  const sum = (of: 'keys' | 'expired') => loaded.reduce((total, shard) => total + shard[of], 0);
  return { shards: recovered(source, reachedMs), keys: sum('keys'), expired: sum('expired'), loadedAt };
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
export async function copyIn(
  { op, spec, plan, ground, source, shardsAtOnce }: BringingBack,
  include: readonly string[],
): Promise<BroughtBack> {
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
  return { shards: recovered(source, reachedMs), keys: copied.reduce((total, { keys }) => total + keys, 0), expired: 0, loadedAt };
}

/** As in the plan, with the moments that were found. */
export const recovered = (source: ClusterSource, reachedMs: ReadonlyMap<number, number | undefined>): RestoreReport['shards'] =>
  source.shards.map((shard) => {
    const ms = reachedMs.get(shard.shard);
    return { ...plannedRecovery(shard), ...(ms === undefined ? {} : { at: new Date(ms).toISOString() }) };
  });
