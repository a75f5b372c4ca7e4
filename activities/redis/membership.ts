import type { ApplicationFailure } from '@temporalio/common';
import { failures } from '../../config/failures.ts';
import { networkName, ports, sentinelMasterName } from '../../config/names.ts';
import { nodeIdOf, placesOf } from '../../model/layout.ts';
import { type Leaving, whyNotEmptied, whyNotForgotten } from '../../model/leaving.ts';
import { whyNotJoined } from '../../model/migration/joined.ts';
import { answered } from '../../model/observation.ts';
import { reach } from '../docker/networks.ts';
import { type ClusterNow, type ClusterRef, lookAtCluster, type MigrationDeps } from '../migration/cluster-now.ts';
import { fatal } from '../support/failure.ts';
import { until } from '../support/until.ts';
import { asOperator, pipeline, withNode } from './connection.ts';
import { copyFunctions } from './functions.ts';
import { observe } from './observe.ts';

/** A node that was forgotten is not taken back for a minute: one that comes again under its old name waits for that. */
const JOINED_WITHIN_MS = 150_000;
const FORGOTTEN_WITHIN_MS = 30_000;
const PROMOTED_WITHIN_MS = 60_000;
/** The servers give up a coordinated failover after five seconds; then it is asked for again. */
const ASK_AGAIN_MS = 6000;
const MEET_AGAIN_MS = 3000;

/**
 * Every node of the spec is a member for all others, every replica is linked, and new primaries have the functions of the others. New nodes are
 * introduced to every node that does not know them, so nobody waits for gossip. Safe to repeat.
 * @throws VerificationFailed with what was missing at the end
 */
export async function joinCluster(deps: MigrationDeps, ref: ClusterRef): Promise<{ readonly members: number }> {
  const { spec, clusterId } = ref;
  let deadline = Date.now() + JOINED_WITHIN_MS;
  let lastMeet = 0;
  return until(
    async () => {
      const now = await lookAtCluster(deps, ref);
      const missing = whyNotJoined(spec, clusterId, now.observation);
      if (missing.length === 0) {
        await copyFunctions(now);
        return { members: now.observation.nodes.length };
      }
      // Copying takes as long as there is data.
      if (missing.some((reason) => reason.includes('copies its data'))) deadline = Date.now() + JOINED_WITHIN_MS;
      if (Date.now() - lastMeet > MEET_AGAIN_MS) {
        lastMeet = Date.now();
        await introduce(ref, now);
      }
      if (Date.now() > deadline)
        throw fatal(
          failures.verificationFailed,
          `the new nodes did not join ${spec.name} in time: ${missing.slice(0, 5).join('; ')}`,
          missing,
        );
      return undefined;
    },
    { timeoutMs: Number.POSITIVE_INFINITY, everyMs: 200, late: () => new Error('never') },
  );
}

async function introduce({ spec, clusterId }: ClusterRef, { observation, target }: ClusterNow): Promise<void> {
  const places = placesOf(spec).filter((place) => place.kind === 'data');
  const addresses = new Map(observation.nodes.filter(answered).map((node) => [nodeIdOf(clusterId, node.name), node.address]));
  const wanted = places.map((place) => nodeIdOf(clusterId, place.name));
  const views = new Map(observation.views.flatMap((view) => view.seenBy.map((name) => [name, new Set(view.members.map((m) => m.nodeId))])));
  await Promise.all(
    observation.nodes.filter(answered).map(async (node) => {
      const unknown = wanted.filter((nodeId) => views.get(node.name)?.has(nodeId) !== true && addresses.has(nodeId));
      if (unknown.length === 0) return;
      const meets = unknown.map((nodeId) => ['CLUSTER', 'MEET', addresses.get(nodeId) ?? '', String(ports.server), String(ports.bus)]);
      await withNode(target(node), (redis) => pipeline(redis, meets));
    }),
  );
}

/**
 * No node that stays knows any of those that leave. Each is told itself: one that was not would bring them back by gossip. What they hold is looked
 * at directly before: days may have passed since anybody did.
 * @throws VerificationFailed when one of them owns slots, or holds keys as a primary, or is still known at the end
 */
export async function forgetNodes(deps: MigrationDeps, leaving: Leaving): Promise<void> {
  const gone = new Set(leaving.nodes);
  const ids = leaving.nodes.map((name) => nodeIdOf(leaving.clusterId, name));
  let waits: readonly string[] = [];
  await until(
    async () => {
      const { observation, target } = await lookAtCluster(deps, leaving);
      const { holds, silent } = whyNotForgotten(leaving, observation);
      if (holds.length > 0) throw notForgotten(leaving, holds);
      waits = silent;
      if (silent.length > 0) return undefined;
      const staying = observation.nodes.filter(answered).filter((node) => !gone.has(node.name));
      const known = new Set(
        observation.views
          .filter((view) => view.seenBy.some((name) => !gone.has(name)))
          .flatMap((view) => view.members.map((m) => m.nodeId)),
      );
      if (ids.every((id) => !known.has(id))) return true;
      await Promise.all(
        staying.map((node) =>
          withNode(target(node), (redis) =>
            pipeline(
              redis,
              ids.map((id) => ['CLUSTER', 'FORGET', id]),
            ),
          ),
        ),
      );
      return undefined;
    },
    {
      timeoutMs: FORGOTTEN_WITHIN_MS,
      everyMs: 200,
      late: () =>
        waits.length > 0
          ? notForgotten(leaving, waits)
          : fatal(
              failures.verificationFailed,
              `some nodes of ${leaving.spec.name} still know ${leaving.nodes.join(', ')}: holdfast status ${leaving.spec.name}`,
            ),
    },
  );
}

const notForgotten = ({ spec, fresh }: Leaving, why: readonly string[]): ApplicationFailure =>
  fatal(
    failures.verificationFailed,
    `${why.join('; ')}, so nothing of ${spec.name} is forgotten or removed. Next: holdfast status ${spec.name}, then the same scale again${fresh === true ? ', which takes the new nodes up as they are' : ''}`,
    why,
  );

/**
 * Before nodes are deleted: all 16384 slots are owned by those that stay, in every node's view, and there is no key left in the shards that leave.
 * @throws VerificationFailed with what is still there
 */
export async function requireEmptied(deps: MigrationDeps, leaving: Leaving & { readonly shards: readonly number[] }): Promise<void> {
  let amiss: readonly string[] = [];
  await until(
    async () => {
      const { observation } = await lookAtCluster(deps, leaving);
      amiss = whyNotEmptied(leaving, leaving.shards, observation);
      return amiss.length === 0 ? true : undefined;
    },
    {
      timeoutMs: 20_000,
      everyMs: 300,
      late: () =>
        fatal(
          failures.verificationFailed,
          `nothing of ${leaving.spec.name} is removed: ${amiss.join('; ')}. Next: holdfast status ${leaving.spec.name}`,
          amiss,
        ),
    },
  );
}

/**
 * A replica leads its shard, and the former primary follows it; without a lost write, by a failover that both sides coordinate.
 * @throws VerificationFailed when it has not happened within a minute
 */
export async function promoteReplica(deps: MigrationDeps, ref: ClusterRef, node: string): Promise<void> {
  let lastAsk = 0;
  await until(
    async () => {
      const { observation, target } = await lookAtCluster(deps, ref);
      const replica = observation.nodes.filter(answered).find(({ name }) => name === node);
      if (replica === undefined) return undefined;
      const member = observation.views[0]?.members.find(({ nodeId }) => nodeId === replica.nodeId);
      const leads = replica.role === 'primary' && member?.role === 'primary' && observation.views.length === 1;
      const linked = observation.nodes.filter(answered).every((one) => one.role === 'primary' || one.replication.linkUp === true);
      if (leads && linked) return true;
      if (replica.role === 'replica' && Date.now() - lastAsk > ASK_AGAIN_MS) {
        lastAsk = Date.now();
        await withNode(target(replica), (redis) => pipeline(redis, [['CLUSTER', 'FAILOVER']]));
      }
      return undefined;
    },
    {
      timeoutMs: PROMOTED_WITHIN_MS,
      everyMs: 200,
      late: () =>
        fatal(
          failures.verificationFailed,
          `${node} did not take over its shard within ${PROMOTED_WITHIN_MS / 1000} s: docker logs ${node}`,
        ),
    },
  );
}

/** Sentinels never forget a replica by themselves: each is told to look anew, one after the other, so that a quorum knows the cluster at any moment. */
export async function resetSentinels(deps: MigrationDeps, { spec }: Pick<ClusterRef, 'spec'>): Promise<void> {
  const held = await deps.secrets.require(spec.name);
  await reach(deps.docker, networkName(spec.name));
  const look = () => observe(deps, { cluster: spec.name, tls: spec.security.tls, parameters: [] });
  for (const { name } of placesOf(spec).filter((place) => place.kind === 'sentinel')) {
    let reset = false;
    await until(
      async () => {
        const sentinel = (await look()).sentinels.find((one) => one.name === name);
        if (sentinel?.answers !== true) return undefined;
        if (sentinel.replicas === spec.replicasPerShard && sentinel.others === spec.sentinels - 1) return true;
        if (!reset || sentinel.replicas > spec.replicasPerShard) {
          reset = true;
          await withNode(asOperator(held, spec.security.tls, { kind: 'sentinel', address: sentinel.address }), (redis) =>
            redis.call('SENTINEL', 'RESET', sentinelMasterName(spec.name)),
          );
        }
        return undefined;
      },
      {
        timeoutMs: 60_000,
        everyMs: 500,
        late: () => fatal(failures.verificationFailed, `${name} does not know the cluster as it is now: docker logs ${name}`),
      },
    );
  }
}
