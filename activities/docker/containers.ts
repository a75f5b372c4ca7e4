import { buffer } from 'node:stream/consumers';
import type Docker from 'dockerode';
import type { ContainerCreateOptions } from 'dockerode';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { findEngineVersion } from '../../config/engines.ts';
import { labels, networkName, nodePaths, volumeName } from '../../config/names.ts';
import { addressOf, limitsOf, type NodePlace, nanoCpus, specHash } from '../../model/layout.ts';
import { engineCall, engineFailure, statusOf } from './engine.ts';

/** Any unprivileged numeric user: no image is asked whether it knows it. */
export const NODE_UID = 10001;

/** Labels of everything that belongs to one node. */
export const nodeLabels = (spec: ClusterSpec, clusterId: string, generation: number, place: NodePlace): Record<string, string> => ({
  [labels.cluster]: spec.name,
  [labels.clusterId]: clusterId,
  [labels.node]: place.name,
  [labels.kind]: place.kind,
  [labels.shard]: String(place.shard),
  [labels.specHash]: specHash(spec),
  [labels.generation]: String(generation),
  ...Object.fromEntries(Object.entries(spec.labels).map(([name, value]) => [labels.userPrefix + name, value])),
});

/**
 * What can be changed while a container runs. Memory and memory with swap are equal: a node that swaps is worse than one that is refused. A data
 * node without AOF is not started again by the engine: it would come back empty before anybody failed over, and its replicas would throw away what
 * they have.
 */
export const limitsFor = (spec: ClusterSpec, kind: NodePlace['kind']) => {
  const { memoryBytes, cpus } = limitsOf(spec, kind);
  const restart = kind === 'sentinel' || spec.persistence.aof ? 'unless-stopped' : 'no';
  return { Memory: memoryBytes, MemorySwap: memoryBytes, NanoCpus: nanoCpus(cpus), RestartPolicy: { Name: restart } };
};

/** What a node's container is made with. The image gives the programs, and nothing else: no entrypoint, no user of it is used. */
export function containerOptions(
  spec: ClusterSpec,
  clusterId: string,
  generation: number,
  place: NodePlace,
  subnet: string,
): ContainerCreateOptions {
  const engine = findEngineVersion(spec.engine, spec.version);
  const program =
    place.kind === 'sentinel' ? [engine?.server ?? '', nodePaths.serverConf, '--sentinel'] : [engine?.server ?? '', nodePaths.serverConf];
  const network = networkName(spec.name);
  return {
    name: place.name,
    Hostname: place.name,
    Image: engine?.image ?? '',
    Entrypoint: program,
    Cmd: [],
    User: `${NODE_UID}:${NODE_UID}`,
    WorkingDir: nodePaths.mount,
    Labels: nodeLabels(spec, clusterId, generation, place),
    StopTimeout: 60,
    HostConfig: {
      ...limitsFor(spec, place.kind),
      PidsLimit: 256,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      ReadonlyRootfs: true,
      Mounts: [{ Type: 'volume', Source: volumeName(place.name), Target: nodePaths.mount }],
      NetworkMode: network,
      LogConfig: { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } },
    },
    NetworkingConfig: { EndpointsConfig: { [network]: { IPAMConfig: { IPv4Address: addressOf(place, subnet) } } } },
  };
}

/** The container's state, or undefined when there is none. */
export const inspectContainer = (docker: Docker, name: string) =>
  engineCall(
    `look at ${name}`,
    () => docker.getContainer(name).inspect(),
    () => undefined,
  );

/** The last lines that a container wrote, without the stream headers of the engine. */
export async function lastLogLines(docker: Docker, name: string, lines: number): Promise<string> {
  const raw = await engineCall(
    `read the logs of ${name}`,
    () => docker.getContainer(name).logs({ stdout: true, stderr: true, tail: lines }),
    () => Buffer.alloc(0),
  );
  return withoutHeads(raw).trim();
}

/** What a program wrote: the engine sends it in pieces, each with a head of eight bytes. */
function withoutHeads(raw: Buffer): string {
  const parts: string[] = [];
  for (let at = 0; at + 8 <= raw.length; ) {
    const length = raw.readUInt32BE(at + 4);
    parts.push(raw.toString('utf8', at + 8, at + 8 + length));
    at += 8 + length;
  }
  return parts.join('');
}

/** Runs a program in a container that runs, to its end. @returns what it wrote; undefined when the container does not run, or not any more */
export async function runInContainer(docker: Docker, container: string, command: readonly string[]): Promise<string | undefined> {
  try {
    const exec = await docker.getContainer(container).exec({ Cmd: [...command], AttachStdout: true, AttachStderr: true });
    return withoutHeads(await buffer(await exec.start({})));
  } catch (error) {
    if (statusOf(error) === 409 || statusOf(error) === 404) return undefined;
    throw engineFailure(error, `run ${command[0]} in ${container}`);
  }
}

/** The container runs; one that does already is left as it is (304). */
export const startContainer = (docker: Docker, name: string): Promise<void> =>
  engineCall(`start ${name}`, async () => {
    await docker
      .getContainer(name)
      .start()
      .catch((error: unknown) => {
        if (statusOf(error) !== 304) throw error;
      });
  });
