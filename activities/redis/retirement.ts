import { ApplicationFailure } from '@temporalio/common';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import { sentinelMasterName } from '../../config/names.ts';
import { type Leaving, type SentinelWord, whyNotRetired } from '../../model/leaving.ts';
import { answered, type Observation } from '../../model/observation.ts';
import { retirement } from '../../model/server-conf.ts';
import type { MigrationDeps } from '../migration/cluster-now.ts';
import { fatal } from '../support/failure.ts';
import { until } from '../support/until.ts';
import { asOperator, type NodeAddress, pipelineAll, withNode } from './connection.ts';
import { observe } from './observe.ts';
import { pairs } from './parse.ts';

/** A failover that has begun may first come to its end; then sentinels ask each node every ten seconds. */
const RETIRED_WITHIN_MS = 90_000;

/**
 * No failover that nobody asked for makes one of these nodes a primary, from here on: they can be removed. In sentinel mode it is certain too that
 * one that stays is the primary, by its own word and that of most sentinels; in cluster mode `forgetNodes` looks at what they hold. Safe to repeat.
 * Nodes without a container are retired. When it fails those that it has retired can be promoted again.
 * @throws PlanRefused when one of them is the primary; VerificationFailed when it is not certain in time, with why
 */
export async function retireNodes(deps: MigrationDeps, leaving: Leaving): Promise<void> {
  const { spec } = leaving;
  let uncertain: readonly string[] = [];
  try {
    await until(
      async () => {
        const { observation, words } = await lookAtRetirement(deps, spec);
        const seen = spec.mode === 'cluster' ? { uncertain: [] } : whyNotRetired(leaving, observation, words);
        if (seen.primary !== undefined)
          throw fatal(failures.refused, `${seen.primary} is the primary of ${spec.name} now, ${nextOf(leaving)}`);
        uncertain = [...seen.uncertain, ...(await setOn(deps, leaving, observation, 'retired'))];
        return uncertain.length === 0 ? true : undefined;
      },
      {
        timeoutMs: RETIRED_WITHIN_MS,
        everyMs: 500,
        late: () =>
          fatal(
            failures.verificationFailed,
            `whether a node that would leave ${spec.name} is, or becomes, its primary is not certain (${uncertain.join('; ')}), ${nextOf(leaving)}`,
            uncertain,
          ),
      },
    );
  } catch (error) {
    // Else the cluster would go on with replicas that cannot take over.
    if (error instanceof ApplicationFailure) await reinstateNodes(deps, leaving);
    throw error;
  }
}

/** These nodes can be promoted again. One that does not answer is left as it is: there is no telling when it will. */
export async function reinstateNodes(deps: MigrationDeps, leaving: Leaving): Promise<void> {
  const { observation } = await lookAtRetirement(deps, leaving.spec);
  await setOn(deps, leaving, observation, 'usual');
}

const nextOf = ({ spec, fresh }: Leaving): string =>
  fresh === true
    ? `so none of the new nodes is removed. Next: holdfast status ${spec.name}; when it shows one primary, the same scale again takes the new nodes up as they are`
    : `so it is not removed. Next: let the sentinels choose one that stays (SENTINEL FAILOVER ${sentinelMasterName(spec.name)}, in a quiet moment; holdfast status ${spec.name} shows it), then the same scale again`;

/** The nodes with what retires them, and what each sentinel that answers says. */
async function lookAtRetirement(
  deps: MigrationDeps,
  spec: ClusterSpec,
): Promise<{ readonly observation: Observation; readonly words: readonly SentinelWord[] }> {
  const { name, security } = spec;
  const held = await deps.secrets.require(name);
  const observation = await observe(deps, { cluster: name, tls: security.tls, parameters: [retirement(spec).parameter] });
  const words = await Promise.all(
    observation.sentinels
      .filter(answered)
      .map(({ name: sentinel, address }) => askSentinel(sentinel, asOperator(held, security.tls, { kind: 'sentinel', address }), name)),
  );
  return { observation, words: words.filter((word) => word !== undefined) };
}

/** Those that answer are set so, now and after a restart. @returns what was not so before: it holds from the next look on */
async function setOn(
  deps: MigrationDeps,
  { spec, nodes }: Leaving,
  observation: Observation,
  to: 'retired' | 'usual',
): Promise<readonly string[]> {
  const { parameter, [to]: value, retired } = retirement(spec);
  const held = await deps.secrets.require(spec.name);
  const others = observation.nodes
    .filter(answered)
    .filter(({ name, parameters }) => nodes.includes(name) && (to === 'retired') === (parameters[parameter] !== retired));
  await Promise.all(
    others.map(({ address }) =>
      withNode(asOperator(held, spec.security.tls, { kind: 'data', address }), (node) =>
        pipelineAll(node, [
          ['CONFIG', 'SET', parameter, value],
          ['CONFIG', 'REWRITE'],
        ]),
      ),
    ),
  );
  return others.map(({ name }) => `${name} could be promoted a moment ago`);
}

/** Undefined when it does not answer, or watches nothing: then it has no say. */
async function askSentinel(name: string, target: NodeAddress, cluster: string): Promise<SentinelWord | undefined> {
  const watched = sentinelMasterName(cluster);
  try {
    const [master, replicas] = await withNode(target, (sentinel) =>
      pipelineAll(sentinel, [
        ['SENTINEL', 'MASTER', watched],
        ['SENTINEL', 'REPLICAS', watched],
      ]),
    );
    const { ip = '', flags = '' } = pairs(master as string[]);
    return {
      name,
      primaryAddress: ip,
      flags: flags.split(','),
      replicas: (replicas as string[][]).map(pairs).map((one) => ({
        address: one.ip ?? '',
        priority: Number(one['slave-priority']),
        flags: (one.flags ?? '').split(','),
      })),
    };
  } catch {
    return undefined; // a majority must answer; who does not is told by `observe`
  }
}
