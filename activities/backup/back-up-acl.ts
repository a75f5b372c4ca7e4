import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { cancellationSignal } from '@temporalio/activity';
import type { AclBackup } from '../../config/backup.ts';
import { failures } from '../../config/failures.ts';
import { backupKeys } from '../../config/names.ts';
import { answered } from '../../model/observation.ts';
import { asOperator, pipelineAll, withNode } from '../redis/connection.ts';
import { observe } from '../redis/observe.ts';
import { passing } from '../support/failure.ts';
import type { BackupDeps, ShardRequest } from './back-up-shard.ts';
import { sealStream } from './seal.ts';

/** It is some KiB long: one part, of the smallest there is. */
const PART_BYTES = 5 * 1024 ** 2;

/**
 * The users of the cluster, as an ACL file, lie sealed in the bucket: no RDB has them. Those of one node: all nodes have the same.
 * @throws NodeAway, which passes
 */
export async function backUpAcl(deps: BackupDeps, { spec, backup }: Pick<ShardRequest, 'spec' | 'backup'>): Promise<AclBackup> {
  const { secrets, store } = deps;
  const cluster = spec.name;
  const [held, ring] = await Promise.all([secrets.require(cluster), secrets.keyRing(cluster)]);
  const observation = await observe(deps, { cluster, tls: spec.security.tls, parameters: [] });
  const node = observation.nodes.filter(answered).find(({ loading }) => !loading);
  if (node === undefined) throw passing(failures.nodeAway, `no node of ${cluster} answers: holdfast status ${cluster} shows why`);
  const target = asOperator(held, spec.security.tls, { kind: 'data', address: node.address });
  const [lines] = await withNode(target, (redis) => pipelineAll(redis, [['ACL', 'LIST']]));
  const file = `${(lines as readonly string[]).join('\n')}\n`;
  const sealing = sealStream(Readable.from([Buffer.from(file)]), {
    kek: await ring.current(),
    content: 'acl',
    about: { cluster, backup },
  });
  const key = backupKeys.acl(cluster, backup, randomBytes(4).toString('hex'));
  await store.putStream(key, sealing.bytes, { signal: cancellationSignal(), partBytes: PART_BYTES });
  return { key, object: sealing.facts() };
}
