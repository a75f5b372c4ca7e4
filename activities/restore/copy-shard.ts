import { randomBytes } from 'node:crypto';
import type { Readable } from 'node:stream';
import type Docker from 'dockerode';
import { pack } from 'tar-stream';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import { networkName, nodePaths, scratchName } from '../../config/names.ts';
import { guestAddress, limitsOf } from '../../model/layout.ts';
import { rangesOf, type ShardSource, sourceId } from '../../model/recovery/shard-recovery.ts';
import { renderScratchConf } from '../../model/server-conf.ts';
import type { UnpackDeps } from '../backup/unpack.ts';
import { NODE_UID } from '../docker/containers.ts';
import { reach } from '../docker/networks.ts';
import type { NodeFile } from '../docker/node-files.ts';
import { engineOf, withScratch } from '../docker/scratch.ts';
import { asOperator, withNode } from '../redis/connection.ts';
import { observe } from '../redis/observe.ts';
import { parseInfo } from '../redis/parse.ts';
import { openWire } from '../redis/wire.ts';
import { issueNodeCertificate } from '../secrets/certificates.ts';
import { fatal } from '../support/failure.ts';
import { attempt } from '../support/until.ts';
import { layOutData } from './append-only.ts';
import { awaitServing, compare } from './await-loaded.ts';
import { copyFunctions } from './copy-functions.ts';
import { type Copied, copyKeys } from './copy-keys.ts';
import { ownersOf } from './owners.ts';

export interface CopyDeps extends UnpackDeps {
  readonly docker: Docker;
  readonly hostName: string;
}

export interface CopyRequest {
  /** The cluster that gets the data. It runs, and has all its slots. */
  readonly spec: ClusterSpec;
  readonly subnet: string;
  readonly source: ShardSource;
  /** Only keys that match one of these; all, when there are none. */
  readonly include: readonly string[];
  /** Memory of the server that loads the shard. */
  readonly memoryBytes: number;
}

/**
 * The keys of a stored shard are in a running cluster, each where it belongs there. A server of the version that wrote them loads the shard next to the cluster, and sends it. It is removed
 * afterwards. Safe to repeat: what was copied is copied again.
 */
export async function copyShard(deps: CopyDeps, request: CopyRequest): Promise<Copied> {
  const { docker, secrets } = deps;
  const { spec, subnet, source, memoryBytes } = request;
  const held = await secrets.require(spec.name);
  await reach(docker, networkName(spec.name));
  const { engine, version } = source.base.server;
  const name = scratchName(spec.name, sourceId(source), source.shard);
  // Another guest may have it: then the next attempt takes another one.
  const address = guestAddress(subnet, source.shard + attempt() - 1);
  const serves = { network: networkName(spec.name), address };
  const asked = { name, backup: scratchMark(spec.name), engine: engineOf(engine, version), memoryBytes, serves };
  return withScratch(docker, asked, async (scratch) => {
    const { whole, list } = await layOutData(deps, source, scratch.put);
    const password = randomBytes(24).toString('base64url');
    await put(scratch.put, [
      list,
      ...(spec.security.tls ? await certificatesOf() : []),
      { path: nodePaths.serverConf, text: renderScratchConf(spec, address, password) },
    ]);
    await scratch.start();
    const target = { ...asOperator(held, spec.security.tls, { kind: 'data', address }), password };
    const server = { name, target };
    const info = await awaitServing(docker, server, whole.bytes);
    const loaded = compare(info, server, source, whole.bytes);
    refuseErrors(info, source);
    const seen = await observe(deps, { cluster: spec.name, tls: spec.security.tls, parameters: [] });
    const owners = ownersOf(spec, subnet, seen);
    const wire = await openWire(target);
    const ownerAt = (where: string) => asOperator(held, spec.security.tls, { kind: 'data', address: where });
    try {
      if (loaded.functions > 0 && request.include.length === 0) await copyFunctions(wire, owners.addresses.map(ownerAt));
      const copied = await copyKeys(wire, {
        owners,
        // A backup was compared with the cluster when it was made; what was written after a base goes on while slots move.
        slots: source.atMoment === true && source.slots !== '' ? rangesOf(source.slots) : undefined,
        include: request.include,
        password: held.system.operator,
        shard: source.shard,
        memoryBytes: { sender: memoryBytes, taker: limitsOf(spec, 'data').memoryBytes },
        usedBy: (where) => withNode(ownerAt(where), async (node) => Number(parseInfo(await node.info('memory')).get('used_memory'))),
      });
      return { ...copied, ...(whole.reachedMs === undefined ? {} : { reachedMs: whole.reachedMs }) };
    } finally {
      wire.close();
    }
  });

  async function certificatesOf(): Promise<readonly NodeFile[]> {
    const pair = await issueNodeCertificate(held.ca, name, address);
    return [
      { path: nodePaths.caCert, text: held.ca.cert },
      { path: nodePaths.cert, text: pair.cert },
      { path: nodePaths.key, text: pair.key },
    ];
  }
}

/** A server outside of a cluster does not take what concerns slots, says so, and goes on. */
function refuseErrors(info: ReadonlyMap<string, string>, { cluster, shard }: ShardSource): void {
  if (Number(info.get('unexpected_error_replies') ?? 0) === 0) return;
  throw fatal(
    failures.refused,
    `shard ${shard} of ${cluster} has writes that only a node of a cluster takes (CLUSTER FLUSHSLOT): restore all of it into a cluster, without include and ttl, and take from there what you need`,
  );
}

/** What marks the servers that data is copied from into a cluster. */
export const scratchMark = (cluster: string): string => `restore-into-${cluster}`;

async function put(send: (tar: Readable, signal: AbortSignal) => Promise<void>, files: readonly NodeFile[]): Promise<void> {
  const owner = { uid: NODE_UID, gid: NODE_UID };
  const tar = pack();
  const inside = (path: string) => path.slice(nodePaths.mount.length + 1);
  for (const folder of [nodePaths.conf, nodePaths.tls]) tar.entry({ name: inside(folder), type: 'directory', mode: 0o700, ...owner });
  for (const { path, text } of files) tar.entry({ name: inside(path), mode: 0o600, ...owner }, text);
  tar.finalize();
  await send(tar as unknown as Readable, new AbortController().signal);
}
