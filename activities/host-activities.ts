import type Docker from 'dockerode';
import type { ClusterSpec } from '../config/cluster-spec.ts';
import type { Settings } from '../config/settings.ts';
import type { NodePlace } from '../model/layout.ts';
import type { Leaving } from '../model/leaving.ts';
import type { Adoption, Closing } from '../model/migration/open-slots.ts';
import type { Observation } from '../model/observation.ts';
import { type VerifyRequest, verifyShard } from './backup/verify-shard.ts';
import { ensureImage } from './docker/images.ts';
import { listClusters } from './docker/inventory.ts';
import { ensureNetwork, removeNetwork } from './docker/networks.ts';
import { ensureNode, type NodeRequest, setLimits } from './docker/nodes.ts';
import { type Removal, removeNode, removeVolume } from './docker/removal.ts';
import { removeScratches } from './docker/scratch.ts';
import { type BigKeyRequest, scanBigKeys } from './migration/big-keys.ts';
import { findOpenSlots, unservedSlots } from './migration/close-open-slots.ts';
import type { ClusterRef } from './migration/cluster-now.ts';
import { gatherCrew } from './migration/crew.ts';
import { type SurveyRequest, surveySlots } from './migration/survey.ts';
import { awaitFormed } from './redis/formation.ts';
import { forgetNodes, joinCluster, promoteReplica, requireEmptied, resetSentinels } from './redis/membership.ts';
import { type ObserveRequest, observe } from './redis/observe.ts';
import { reinstateNodes, retireNodes } from './redis/retirement.ts';
import { applyParameters, applyUsers } from './redis/settings.ts';
import { refuseWrites, requireWritesRefused, takeWrites } from './redis/writes.ts';
import { awaitLoaded, awaitServes, type LoadRequest } from './restore/await-loaded.ts';
import { type CompleteRequest, completeVolume, removeStrayPieces } from './restore/complete-volume.ts';
import { type CopyRequest, copyShard, scratchMark } from './restore/copy-shard.ts';
import { type FillRequest, fillShard } from './restore/fill-shard.ts';
import { type BesideRequest, layOutBeside } from './restore/lay-out-beside.ts';
import { prepareVolume } from './restore/prepare-volume.ts';
import type { PlacedNode } from './restore/reach-node.ts';
import {
  barAgain,
  barNode,
  clearFormerData,
  commitData,
  findUnfinished,
  haltNode,
  type NodeOf,
  putBackData,
  replaceData,
} from './restore/replace-data.ts';
import { rewriteFiles } from './restore/rewrite-files.ts';
import { type SpreadRequest, spreadShard } from './restore/spread-shard.ts';
import type { SecretStore } from './secrets/secret-store.ts';
import type { StreamStore } from './storage/object-store.ts';
import { beating, report } from './support/beating.ts';

export interface HostDeps {
  readonly settings: Settings;
  readonly docker: Docker;
  readonly secrets: SecretStore;
  readonly store: StreamStore;
  readonly hostName: string;
}

/**
 * What must run next to a host's engine, on the queue `host/<name>`: everything that speaks to the engine or to the nodes, whose networks
 * only the host reaches. Each is named by what is true afterwards, and is safe to run twice.
 */
export function createHostActivities(deps: HostDeps) {
  const { docker, settings } = deps;
  return beating({
    observe: (request: ObserveRequest): Promise<Observation> => observe(deps, request),
    listClusters: () => listClusters(docker),
    ensureImage: (reference: string) => ensureImage(docker, reference),
    ensureNetwork: (spec: ClusterSpec, clusterId: string) => ensureNetwork(docker, settings, spec, clusterId),
    ensureNode: (request: NodeRequest) => ensureNode(deps, request),
    /** The cluster is healthy by its own nodes' word; waits for it up to a minute. */
    awaitFormed: (spec: ClusterSpec) => awaitFormed(deps, spec, (health) => report({ note: health.headline })),
    applyParameters: (spec: ClusterSpec, parameters: Readonly<Record<string, string>>) => applyParameters(deps, spec, parameters),
    applyUsers: (spec: ClusterSpec) => applyUsers(deps, spec),
    refuseWrites: (spec: ClusterSpec) => refuseWrites(deps, spec),
    requireWritesRefused: (spec: ClusterSpec) => requireWritesRefused(deps, spec),
    takeWrites: (spec: ClusterSpec) => takeWrites(deps, spec),
    setLimits: (spec: ClusterSpec, node: string, kind: NodePlace['kind']) => setLimits(docker, spec, node, kind),
    removeNode: (cluster: string, node: string, how: Removal) => removeNode(docker, cluster, node, how),
    removeVolume: (cluster: string, volume: string, clusterId?: string) => removeVolume(docker, cluster, volume, clusterId),
    joinCluster: (ref: ClusterRef) => joinCluster(deps, ref),
    /** None of them is a primary that has data, or becomes one: they can be removed. */
    retireNodes: (leaving: Leaving) => retireNodes(deps, leaving),
    /** The reverse of `retireNodes`, for nodes that do not leave after all. */
    reinstateNodes: (leaving: Leaving) => reinstateNodes(deps, leaving),
    forgetNodes: (leaving: Leaving) => forgetNodes(deps, leaving),
    requireEmptied: (leaving: Leaving & { readonly shards: readonly number[] }) => requireEmptied(deps, leaving),
    promoteReplica: (ref: ClusterRef, node: string) => promoteReplica(deps, ref, node),
    resetSentinels: (spec: ClusterSpec) => resetSentinels(deps, { spec }),
    surveySlots: (request: SurveyRequest) => surveySlots(deps, request),
    scanBigKeys: (request: BigKeyRequest) => scanBigKeys(deps, request),
    findOpenSlots: async (ref: ClusterRef): Promise<readonly (Closing | Adoption)[]> => {
      const crew = await gatherCrew(deps, ref, { nodeAwayMs: 10_000, mends: false });
      try {
        return [...(await findOpenSlots(crew)), ...unservedSlots(crew, ref)];
      } finally {
        crew.close();
      }
    },
    verifyShard: (request: VerifyRequest) => verifyShard(deps, request),
    /** No server is left that was made to verify this backup. */
    removeScratches: (backup: string) => removeScratches(docker, backup),
    fillShard: (request: FillRequest) => fillShard(deps, request),
    prepareVolume: (request: Parameters<typeof prepareVolume>[1]) => prepareVolume(deps, request),
    spreadShard: (request: SpreadRequest) => spreadShard(deps, request),
    completeVolume: (request: CompleteRequest) => completeVolume(deps, request),
    removeStrayPieces: (node: string) => removeStrayPieces(docker, node),
    copyShard: (request: CopyRequest) => copyShard(deps, request),
    /** No server is left from which data was copied into this cluster. */
    removeCopySources: (cluster: string) => removeScratches(docker, scratchMark(cluster)),
    awaitLoaded: (request: LoadRequest) => awaitLoaded(deps, request),
    rewriteFiles: (request: PlacedNode) => rewriteFiles(deps, request),
    layOutBeside: (request: BesideRequest) => layOutBeside(deps, request),
    haltNode: (node: NodeOf) => haltNode(deps, node),
    barNode: (request: Parameters<typeof barNode>[1]) => barNode(deps, request),
    barAgain: (node: NodeOf) => barAgain(deps, node),
    replaceData: (request: Parameters<typeof replaceData>[1]) => replaceData(deps, request),
    commitData: (node: NodeOf) => commitData(deps, node),
    putBackData: (node: NodeOf) => putBackData(deps, node),
    clearFormerData: (request: Parameters<typeof clearFormerData>[1]) => clearFormerData(deps, request),
    findUnfinished: (spec: ClusterSpec) => findUnfinished(deps, spec),
    /** Its server has loaded what it was started with. */
    awaitServes: (request: PlacedNode) => awaitServes(deps, request),
    removeNetwork: (cluster: string, clusterId?: string) => removeNetwork(docker, cluster, clusterId),
  });
}

export type HostActivities = ReturnType<typeof createHostActivities>;
