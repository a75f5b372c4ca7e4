import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { extract } from 'tar-stream';
import { type ClusterSpecInput, clusterSpec } from '../../config/cluster-spec.ts';
import { nodePaths } from '../../config/names.ts';
import { type Contents, load } from '../support/lone-shard.ts';
import type { Stack } from '../support/stack.ts';
import { onNode } from './ask.ts';

/**
 * A node's data as it saves it itself. Not by `valkey-cli --rdb`: that does not tell its version, and Valkey 9 makes no RDB with fields that expire for a
 * replica that tells none.
 */
export async function rdbOf(stack: Stack, cluster: string, node: string, tls = true): Promise<Buffer> {
  await onNode(stack, cluster, node, (redis) => redis.save(), { tls });
  const archive = await stack.dependencies.docker.getContainer(node).getArchive({ path: `${nodePaths.db}/dump.rdb` });
  for await (const entry of Readable.from(archive).pipe(extract())) return await buffer(entry);
  throw new Error('no RDB');
}

/** What a node holds, as a server that loads a copy of its data says. */
export async function contentsOfNode(stack: Stack, spec: ClusterSpecInput, node: string, cluster = spec.name): Promise<Contents> {
  const parsed = clusterSpec.parse(spec);
  const content = await rdbOf(stack, cluster, node, parsed.security.tls);
  return load(stack.dependencies.docker, parsed, [{ path: `${nodePaths.db}/dump.rdb`, content }]);
}
