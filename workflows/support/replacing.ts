import { CancellationScope, uuid4 } from '@temporalio/workflow';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import type { RestoreInput } from '../../config/operations.ts';
import { hostOf } from '../../model/known-cluster.ts';
import { type NodePlace, placesOf } from '../../model/layout.ts';
import type { Unfinished } from '../../model/observation.ts';
import { slotsThatMoved } from '../../model/plan-backup.ts';
import { type InPlacePlan, inPlaceSteps as steps } from '../../model/plan-in-place.ts';
import { type ClusterSource, rangesOf } from '../../model/recovery/shard-recovery.ts';
import { type BroughtBack, layOutAll, recovered } from './bringing-back.ts';
import { fail } from './failure.ts';
import { onHost, restores } from './proxies.ts';
import type { Operation } from './stages.ts';
import { settleAll } from './undo.ts';

export interface Replacing {
  readonly op: Operation;
  readonly spec: ClusterSpec;
  readonly clusterId: string;
  readonly subnet: string;
  /** Of sentinel mode. */
  readonly primaryAddress: string;
}

/** The nodes of a cluster, all at once. */
function nodesOf({ op, spec, clusterId, subnet, primaryAddress }: Replacing, replacement: string) {
  const hostName = hostOf(spec);
  const places = placesOf(spec);
  const of = (place: NodePlace) => ({ clusterId, place, replacement });
  const host = ({ name }: NodePlace) => onHost(hostName, name);
  const each = (among: readonly NodePlace[], work: (place: NodePlace) => Promise<unknown>) => settleAll(among.map(work));
  return {
    of,
    host,
    each,
    data: places.filter(({ kind }) => kind === 'data'),
    sentinels: places.filter(({ kind }) => kind === 'sentinel'),
    halt: (among: readonly NodePlace[]) => each(among, (place) => host(place).haltNode(of(place))),
    start: (place: NodePlace) =>
      host(place).ensureNode({ spec, clusterId, generation: op.known.generation, place, subnet, primaryAddress }),
    clear: (among: readonly NodePlace[]) => each(among, (place) => host(place).clearFormerData({ spec, clusterId, place, subnet })),
    serves: (place: NodePlace) => restores(hostName, place.name).awaitServes({ spec, place, subnet }),
  };
}

/**
 * The data of a cluster is other data, on the nodes that it has. It is laid out beside the data that serves; then nobody can write, and what it has is saved; then all nodes are stopped before the first gets its new
 * settings, and applications are let in again when every shard has loaded. Until then a failure puts everything back.
 * @param save called when no write can be acknowledged any more: with what it saves nothing is lost that ever was
 */
export async function replaceAll(
  parts: Replacing,
  plan: InPlacePlan,
  source: ClusterSource,
  { ttl, shardsAtOnce }: Pick<RestoreInput, 'ttl' | 'shardsAtOnce'>,
  save: () => Promise<void>,
): Promise<BroughtBack> {
  const { op, spec, subnet, primaryAddress } = parts;
  const hostName = hostOf(spec);
  const replacement = uuid4().slice(0, 8);
  const nodes = nodesOf(parts, replacement);
  const { primaries, leaders } = plan;
  const first = primaries.map(({ place }) => place);

  op.onFailure('remove what was laid out', () => nodes.clear(first));
  const laidOut = await layOutAll(
    { op, primaries, shardsAtOnce },
    ({ place, source: shard }) => restores(hostName, place.name).layOutBeside({ ...nodes.of(place), source: shard }),
    ({ bytes }) => `${bytes} bytes`,
  );

  op.onFailure('let writes in again', () => onHost(hostName).takeWrites(spec));
  await op.step(steps.refuse, () => onHost(hostName).refuseWrites(spec));
  await save();

  const names = leaders.map(({ name }) => name);
  op.onFailure(steps.putBack, () => putBack(parts, { replacement, leaders: names }));
  await op.step(steps.stop, async () => {
    const now = new Set(names);
    await nodes.halt(nodes.sentinels); // else they promote while the others go
    await onHost(hostName).requireWritesRefused(spec);
    await nodes.halt(nodes.data.filter(({ name }) => !now.has(name)));
    await nodes.each(nodes.data, (place) => nodes.host(place).barNode({ ...nodes.of(place), leaders: names }));
  });
  const slots = source.shards.map((shard) => rangesOf(shard.slots));
  await op.step(steps.replace, () =>
    nodes.each(nodes.data, (place) => {
      const folder = laidOut.get(place.name)?.folder;
      const request = { ...nodes.of(place), spec, subnet, slots, primaryAddress, shifts: ttl === 'shift' };
      return nodes.host(place).replaceData({ ...request, ...(folder === undefined ? {} : { folder }) });
    }),
  );
  const started = (places: readonly NodePlace[]) =>
    op.together(
      places.map(
        (place) => () =>
          op.step(
            steps.start(place.name),
            () => nodes.start(place),
            ({ did }) => did,
          ),
      ),
    );
  await started(first);
  const loaded = await op.step(
    steps.load,
    () =>
      Promise.all(
        primaries.map(({ place, source: shard }) => {
          const bytes = laidOut.get(place.name)?.bytes ?? 0;
          return restores(hostName, place.name).awaitLoaded({ spec, place, subnet, source: shard, bytes });
        }),
      ),
    (all) => `${all.reduce((sum, { keys }) => sum + keys, 0)} keys`,
  );
  const loadedAt = Date.now();
  if (ttl === 'shift')
    await op.step(steps.rewrite, () =>
      settleAll(first.map((place) => restores(hostName, place.name).rewriteFiles({ spec, place, subnet }))),
    );
  await started(plan.replicas);
  await started(plan.sentinels);
  await op.step(
    steps.form,
    async () => {
      const { headline } = await onHost(hostName).awaitFormed(spec);
      const moved = spec.mode === 'cluster' ? slotsThatMoved(spec, op.known, source.shards, await op.observe(spec)) : [];
      if (moved.length > 0)
        throw fail(failures.verificationFailed, `shard ${moved.join(', ')} has other slots than it had: who moves them?`);
      return headline;
    },
    (headline) => headline,
  );
  await admit(parts, replacement);
  const reachedMs = new Map(first.map((place) => [place.shard, laidOut.get(place.name)?.reachedMs]));
  const sum = (of: 'keys' | 'expired') => loaded.reduce((total, shard) => total + shard[of], 0);
  return { shards: recovered(source, reachedMs), keys: sum('keys'), expired: sum('expired'), loadedAt };
}

/**
 * All of it is there: applications are let in, and what was before goes. From here on nothing is put back, for what they write must not be lost; so a cancellation comes too late, which would keep them out.
 */
export function admit(parts: Replacing, replacement: string): Promise<void> {
  const { op, spec } = parts;
  const nodes = nodesOf(parts, replacement);
  return CancellationScope.nonCancellable(async () => {
    await op.step(steps.admit, async () => {
      op.keep();
      await nodes.each(nodes.data, (place) => nodes.host(place).commitData(nodes.of(place)));
      await onHost(hostOf(spec)).applyUsers(spec);
    });
    await op.step(steps.clear, () => nodes.clear(nodes.data));
  });
}

/** Every node has what it had before, and serves it. Those that led come first: they have the last writes. */
export async function putBack(parts: Replacing, { replacement, leaders }: Unfinished): Promise<void> {
  const nodes = nodesOf(parts, replacement);
  const led = nodes.data.filter(({ name }) => leaders.includes(name));
  await nodes.halt(nodes.sentinels);
  // None of them can serve what was to come when the first gets its own back.
  await nodes.each(nodes.data, (place) => nodes.host(place).barAgain(nodes.of(place)));
  await nodes.each(nodes.data, (place) => nodes.host(place).putBackData(nodes.of(place)));
  await nodes.each(led, nodes.start);
  await nodes.each(led, nodes.serves);
  await nodes.each(
    nodes.data.filter((place) => !led.includes(place)),
    nodes.start,
  );
  await nodes.each(nodes.sentinels, nodes.start);
  // Sentinels may have had a server write down that it refuses them.
  await onHost(hostOf(parts.spec)).takeWrites(parts.spec);
  await onHost(hostOf(parts.spec)).awaitFormed(parts.spec);
  await nodes.clear(nodes.data);
}
