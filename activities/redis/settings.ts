import type Docker from 'dockerode';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { networkName, systemUsers } from '../../config/names.ts';
import { renderAcl, renderSentinelAcl } from '../../model/server-conf.ts';
import { takeInventory } from '../docker/inventory.ts';
import { reach } from '../docker/networks.ts';
import type { ClusterSecrets, SecretStore } from '../secrets/secret-store.ts';
import { asOperator, type NodeAddress, pipelineAll, withNode } from './connection.ts';

export interface SettingsDeps {
  readonly docker: Docker;
  readonly secrets: SecretStore;
  readonly hostName: string;
}

/** The nodes and sentinels of a cluster, as its operator reaches them. */
export async function targets(
  { docker, secrets, hostName }: SettingsDeps,
  spec: ClusterSpec,
): Promise<{ readonly nodes: readonly (NodeAddress & { readonly name: string })[]; readonly held: ClusterSecrets }> {
  const [inventory, held] = await Promise.all([takeInventory(docker, hostName, spec.name), secrets.require(spec.name)]);
  await reach(docker, networkName(spec.name));
  const nodes = inventory.containers.map((container) => ({ ...asOperator(held, spec.security.tls, container), name: container.name }));
  return { nodes, held };
}

/**
 * Every data node has these server parameters, now and after a restart. Each value is set on its own name, so that a refused one names itself.
 * @throws the server's own words when it refuses a value.
 */
export async function applyParameters(deps: SettingsDeps, spec: ClusterSpec, parameters: Readonly<Record<string, string>>): Promise<void> {
  const { nodes } = await targets(deps, spec);
  const sets = Object.entries(parameters).map(([name, value]) => ['CONFIG', 'SET', name, value] as const);
  await Promise.all(
    nodes
      .filter((node) => node.kind === 'data')
      .map((target) => withNode(target, (node) => pipelineAll(node, [...sets, ['CONFIG', 'REWRITE']]))),
  );
}

/**
 * Every node has exactly the spec's users, besides Holdfast's own, and has written them to its ACL file. Rules start from nothing each time
 * (`reset`), in one command, so that no client ever meets a half-made user.
 */
export async function applyUsers(deps: SettingsDeps, spec: ClusterSpec): Promise<{ readonly removed: readonly string[] }> {
  const { nodes, held } = await targets(deps, spec);
  const users = await deps.secrets.hashUsers(spec, held);
  const files = { data: renderAcl(spec, held.system, users), sentinel: renderSentinelAcl(held.system, users) };
  const removed = new Set<string>();
  await Promise.all(
    nodes.map((target) =>
      withNode(target, async (node) => {
        const wanted = parseAclFile(files[target.kind]);
        const present = (await node.call('ACL', 'USERS')) as string[];
        const gone = present.filter((name) => !wanted.has(name));
        for (const name of gone) removed.add(name);
        const sets = [...wanted]
          .filter(([name]) => name !== systemUsers.operator && name !== 'default')
          .map(([name, rules]) => ['ACL', 'SETUSER', name, 'reset', ...rules] as const);
        await pipelineAll(node, [...sets, ...(gone.length > 0 ? [['ACL', 'DELUSER', ...gone] as const] : []), ['ACL', 'SAVE']]);
      }),
    ),
  );
  return { removed: [...removed] };
}

/** `user <name> <rules...>` a line. */
const parseAclFile = (text: string): ReadonlyMap<string, readonly string[]> =>
  new Map(
    text
      .trim()
      .split('\n')
      .map((line) => line.split(' ').slice(1))
      .map(([name = '', ...rules]) => [name, rules.filter((rule) => rule !== '')] as const),
  );
