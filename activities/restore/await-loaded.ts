import type Docker from 'dockerode';
import { failures } from '../../config/failures.ts';
import { rangesOf, type ShardSource } from '../../model/recovery/shard-recovery.ts';
import { hasSlot } from '../../model/slots.ts';
import { inspectContainer, lastLogLines } from '../docker/containers.ts';
import { type NodeAddress, withNode } from '../redis/connection.ts';
import { parseClusterNodes, parseInfo } from '../redis/parse.ts';
import { ServerError, type Word } from '../redis/protocol.ts';
import { openWire, type Wire } from '../redis/wire.ts';
import { report } from '../support/beating.ts';
import { fatal, messageOf } from '../support/failure.ts';
import { until } from '../support/until.ts';
import { type PlacedNode, type ReachDeps, reachNode } from './reach-node.ts';

/** What the data is that a server loads. */
export type LoadedSource = Pick<ShardSource, 'shard' | 'slots' | 'atMoment' | 'until' | 'ttl'> & {
  readonly base: Pick<ShardSource['base'], 'keys' | 'functions'>;
};

export interface LoadRequest extends PlacedNode {
  readonly source: LoadedSource;
  /** Of all files that were laid out. */
  readonly bytes: number;
}

/** What the server has loaded. */
export interface Loaded {
  readonly shard: number;
  /** Keys that were in its base; or, where writes came after it, that there are now. */
  readonly keys: number;
  /** Of them, those whose time is over. */
  readonly expired: number;
  readonly functions: number;
  /** Keys of slots that the shard did not have at that moment, and that were removed. */
  readonly dropped: number;
}

/** A server says at least how far it has loaded; one that says nothing for so long hangs. */
const SILENT_MS = 120_000;

/**
 * A node that was started with data serves all of it: every byte of its files was read, and as many keys were in its base as the source had at that point of its stream.
 * @throws BackupNotGood, NodeDied with the server's last words, HostFull
 */
export async function awaitLoaded(deps: ReachDeps, request: LoadRequest): Promise<Loaded> {
  const { docker } = deps;
  const { spec, source, bytes } = request;
  const server = await serverOf(deps, request);
  const loaded = compare(await awaitServing(docker, server, bytes), server, source, bytes);
  const dropped = spec.mode === 'sentinel' || source.atMoment !== true ? 0 : await dropForeign(docker, server, source.slots);
  return { ...loaded, dropped };
}

/** A node that was started has loaded what it has. @throws NodeDied with the server's last words, HostFull */
export async function awaitServes(deps: ReachDeps, node: PlacedNode): Promise<void> {
  await awaitServing(deps.docker, await serverOf(deps, node), 0);
}

const serverOf = async (deps: ReachDeps, node: PlacedNode): Promise<LoadingServer> => ({
  name: node.place.name,
  target: await reachNode(deps, node),
});

/** A server that loads data, and how to ask it. */
export interface LoadingServer {
  /** Of its container. */
  readonly name: string;
  readonly target: NodeAddress;
}

/** INFO of the server when it has loaded everything. */
export async function awaitServing(docker: Docker, { name, target }: LoadingServer, bytes: number): Promise<ReadonlyMap<string, string>> {
  let said = 'it does not answer';
  let loaded = -1;
  let deadline = Date.now() + SILENT_MS;
  return until(
    async () => {
      const fields = await withNode(target, (node) => node.info()).then(parseInfo, (error: unknown) => {
        said = messageOf(error);
        return undefined;
      });
      if (fields?.get('loading') === '0') return fields;
      await refuseEnded(docker, name);
      const now = Number(fields?.get('loading_loaded_bytes') ?? loaded);
      // A script that shifts times to live is at work for as long as there are keys.
      if (now > loaded || /^BUSY/.test(said)) deadline = Date.now() + SILENT_MS;
      loaded = Math.max(now, loaded);
      report({ node: name, loadedBytes: loaded, of: bytes });
      if (Date.now() > deadline)
        throw fatal(failures.nodeSilent, `${name} does not get on with its data (${said}): look at docker logs ${name}`);
      return undefined;
    },
    { timeoutMs: Number.POSITIVE_INFINITY, everyMs: 200, late: () => new Error('never') },
  );
}

/**
 * The server has no keys of slots that are not its own. At the moment of its data some may have been on their way to it by the servers' own doing, which their owner had all the same; or were never
 * removed. Servers call such slots open when they load them.
 */
async function dropForeign(docker: Docker, { name, target }: LoadingServer, slots: string): Promise<number> {
  const own = rangesOf(slots);
  const foreign = (await openSlotsOf(target)).filter((slot) => !hasSlot(own, slot));
  if (foreign.length === 0) return 0;
  await until(
    async () => {
      await refuseEnded(docker, name);
      report({ node: name, waitsFor: 'the other shards' });
      return (await withNode(target, (node) => node.cluster('INFO')).catch(() => '')).includes('cluster_state:ok') || undefined;
    },
    { timeoutMs: Number.POSITIVE_INFINITY, everyMs: 200, late: () => new Error('never') },
  );
  const wire = await openWire(target);
  let dropped = 0;
  try {
    for (const slot of foreign) {
      for (let keys = await keysIn(wire, slot); keys.length > 0; keys = await keysIn(wire, slot)) {
        for (const reply of await wire.ask(keys.flatMap((key): Word[][] => [['ASKING'], ['UNLINK', key]])))
          if (reply instanceof ServerError) throw reply;
        dropped += keys.length;
        report({ node: name, dropped });
      }
      await wire.one('CLUSTER', 'SETSLOT', slot, 'STABLE');
    }
  } finally {
    wire.close();
  }
  return dropped;
}

const keysIn = async (wire: Wire, slot: number) => (await wire.one('CLUSTER', 'GETKEYSINSLOT', slot, 1000)) as readonly Buffer[];

/** Slots that a node calls open itself. */
const openSlotsOf = (target: NodeAddress): Promise<readonly number[]> =>
  withNode(target, async (node) => {
    const own = parseClusterNodes(String(await node.cluster('NODES'))).find(({ myself }) => myself);
    return own?.openSlots.map((text) => Number(/^\[(\d+)-/.exec(text)?.[1])) ?? [];
  });

/** A server that cannot load its data ends, and the engine may start it again and again. */
async function refuseEnded(docker: Docker, name: string): Promise<void> {
  const container = await inspectContainer(docker, name);
  if (container?.State.Running === true && container.RestartCount === 0) return;
  if (container?.State.OOMKilled === true)
    throw fatal(
      failures.hostFull,
      `${name} needs more memory for its data than ${Math.round((container.HostConfig.Memory ?? 0) / 1024 ** 2)} MiB: give nodes more (resources.memory in the changes) and restore again`,
    );
  throw fatal(
    failures.nodeDied,
    `${name} ended while it loaded its data${container === undefined ? ': it was removed' : `. Its last lines:\n${await lastLogLines(docker, name, 20)}`}`,
  );
}

/** @throws BackupNotGood when it is not what was laid out */
export function compare(
  info: ReadonlyMap<string, string>,
  { name }: LoadingServer,
  { shard, slots, base, until: writes, ttl }: LoadedSource,
  bytes: number,
): Omit<Loaded, 'dropped'> {
  const number = (field: string) => Number(info.get(field) ?? 0);
  const expired = number('rdb_last_load_keys_expired');
  const keys = number('rdb_last_load_keys_loaded') + expired;
  const functions = number('number_of_libraries');
  const read = number('aof_current_size'); // it grows with what the server writes from now on
  // It is another when the server has written its file anew, as it does with many small ones; and none when an earlier run has switched it off.
  const comparable = number('aof_rewrites') === 0 && number('aof_enabled') === 1;
  // The first database only is counted in a manifest, and the only one in cluster mode.
  const asMany = slots !== '' ? keys === base.keys : keys >= base.keys;
  const differs = [
    ...(asMany ? [] : [`it has loaded ${keys} keys, and there were ${base.keys}`]),
    ...(writes !== undefined || functions === base.functions
      ? []
      : [`it has ${functions} function libraries, and there were ${base.functions}`]),
    ...(ttl === 'shift' && number('unexpected_error_replies') > 0 ? ['it has not shifted times to live'] : []),
    ...(read >= bytes || !comparable ? [] : [`it has read ${read} of ${bytes} bytes`]),
  ];
  if (differs.length > 0)
    throw fatal(
      failures.backupNotGood,
      `${name} serves, but not what it was given: ${differs.join('; ')}. Use another backup, and report this`,
    );
  // Writes after the base have changed how many there are.
  return { shard, keys: writes === undefined ? keys : keysNow(info), expired, functions };
}

/** Of all databases. */
const keysNow = (info: ReadonlyMap<string, string>): number =>
  [...info].reduce((sum, [name, text]) => (/^db\d+$/.test(name) ? sum + Number(/keys=(\d+)/.exec(text)?.[1] ?? 0) : sum), 0);
