import { ApplicationFailure } from '@temporalio/common';
import type { Redis } from 'ioredis';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import { isRefusing, refusesWrites, refusingParameter, takesWrites } from '../../model/server-conf.ts';
import { fatal, messageOf, passing } from '../support/failure.ts';
import { until } from '../support/until.ts';
import { pipelineAll, withNode } from './connection.ts';
import { pairs, parseInfo } from './parse.ts';
import { type SettingsDeps, targets } from './settings.ts';

/** A replica that has not caught up in this time is told of; the writes that it lacks were made before. */
const CAUGHT_UP_WITHIN_MS = 30_000;

/**
 * No client writes to any node any more, and every replica has all that was written: whoever reads any of them from now on reads all that was ever acknowledged. It holds until `takeWrites`, also when a replica
 * takes over; a server that is started anew forgets it, which `requireWritesRefused` tells.
 * @throws NodeAway when a node does not answer, or a replica stays behind
 */
export async function refuseWrites(deps: SettingsDeps, spec: ClusterSpec): Promise<void> {
  await onDataNodes(deps, spec, (node) => pipelineAll(node, [toSet(refusesWrites)]));
  const written = new Map(
    (await onDataNodes(deps, spec, placeOf)).flatMap(({ primary, replid, offset }) => (primary ? [[replid, offset] as const] : [])),
  );
  let behind: readonly string[] = [];
  await until(
    async () => {
      const places = await onDataNodes(deps, spec, placeOf);
      behind = places.flatMap(({ name, offset, replid }) => (offset < (written.get(replid) ?? Number.POSITIVE_INFINITY) ? [name] : []));
      return behind.length === 0 ? true : undefined;
    },
    {
      timeoutMs: CAUGHT_UP_WITHIN_MS,
      late: () =>
        passing(
          failures.nodeAway,
          `${behind.join(', ')} has not all that was written before writes were refused: holdfast status ${spec.name} shows why`,
        ),
    },
  );
}

/** @throws BackupNotGood when a client may have written since `refuseWrites` */
export async function requireWritesRefused(deps: SettingsDeps, spec: ClusterSpec): Promise<void> {
  const found = await onDataNodes(deps, spec, async (node, who) => {
    const told = pairs((await node.config('GET', refusingParameter)) as string[]);
    return isRefusing(told) ? [] : [who];
  });
  const open = found.flat();
  if (open.length > 0)
    throw fatal(
      failures.backupNotGood,
      `${open.join(', ')} takes writes again: was it started anew? What was written to it since is not in the backup, so nothing is replaced. Next: the same restore again`,
    );
}

/** Clients may write again, as the spec has it. */
export async function takeWrites(deps: SettingsDeps, spec: ClusterSpec): Promise<void> {
  await onDataNodes(deps, spec, (node) => pipelineAll(node, [toSet(takesWrites(spec))]));
}

const toSet = (parameters: Readonly<Record<string, string>>) => ['CONFIG', 'SET', ...Object.entries(parameters).flat()];

/** @throws NodeAway naming one that does not answer */
async function onDataNodes<T>(
  deps: SettingsDeps,
  spec: ClusterSpec,
  work: (node: Redis, name: string) => Promise<T>,
): Promise<readonly T[]> {
  const { nodes } = await targets(deps, spec);
  return Promise.all(
    nodes
      .filter(({ kind }) => kind === 'data')
      .map((target) =>
        withNode(target, (node) => work(node, target.name)).catch((error: unknown) => {
          if (error instanceof ApplicationFailure) throw error;
          throw passing(failures.nodeAway, `${target.name} does not answer: ${messageOf(error)}`, error);
        }),
      ),
  );
}

/** How far a node is in which stream. */
async function placeOf(node: Redis, name: string) {
  const info = parseInfo(await node.info('replication'));
  const primary = info.get('role') === 'master';
  const offset = Number(info.get(primary ? 'master_repl_offset' : 'slave_repl_offset') ?? -1);
  return { name, primary, replid: info.get('master_replid') ?? '', offset };
}
