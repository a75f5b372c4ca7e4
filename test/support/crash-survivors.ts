import { deepStrictEqual } from 'node:assert/strict';
import { withNode } from '../../activities/redis/connection.ts';
import type { ClusterSpecInput } from '../../config/cluster-spec.ts';
import { networkName } from '../../config/names.ts';
import type { StatusReport } from '../../config/status.ts';
import { holdings, testSpec } from './clusters.ts';
import { execute, expectHealthy, type Subject, type Survivor } from './crash-harness.ts';

/** Healthy by every node's own word, and in the journal once: an operation that was taken over is still one operation. */
async function healthyAndRecordedOnce(subject: Subject, generation: number, operation: string): Promise<void> {
  const { journal, generation: found } = await expectHealthy(subject);
  deepStrictEqual(found, generation);
  deepStrictEqual(
    journal.filter((entry) => entry.operation === operation).map((entry) => entry.outcome),
    ['done'],
  );
}

const provisioning = (changes: Partial<ClusterSpecInput>): Survivor => ({
  operation: 'provision',
  input: (cluster) => ({ spec: testSpec(cluster, changes) }),
  check: (subject) => healthyAndRecordedOnce(subject, 1, 'provision'),
});

export const provisionCluster = provisioning({});
export const provisionSentinel = provisioning({ mode: 'sentinel' });

/** Three nodes are enough to configure and to remove. */
const small: Partial<ClusterSpecInput> = { replicasPerShard: 0 };
export const provisionSmall = provisioning(small);
const provisioned = async (subject: Subject): Promise<void> => {
  await execute(subject, 'provision', { spec: testSpec(subject.cluster, small) });
};

export const deprovision: Survivor = {
  operation: 'deprovision',
  prepare: provisioned,
  input: (cluster) => ({ cluster, confirm: cluster }),
  check: async (subject) => {
    const { verdict } = await execute<StatusReport>(subject, 'status', { cluster: subject.cluster });
    deepStrictEqual(verdict, 'absent');
  },
};

/** More memory, another server parameter, and a new user. */
export const configured = (cluster: string): ClusterSpecInput =>
  testSpec(cluster, {
    ...small,
    resources: { memory: '160Mi' },
    config: { 'maxmemory-policy': 'allkeys-lru' },
    security: { users: [{ name: 'app' }, { name: 'reports', rules: '~* +@read' }] },
  });

export const configure: Survivor = {
  operation: 'configure',
  prepare: provisioned,
  input: (cluster) => ({ spec: configured(cluster) }),
  check: async (subject) => {
    await healthyAndRecordedOnce(subject, 2, 'configure');
    for (const settings of await settingsOfNodes(subject)) deepStrictEqual(settings, afterConfigure);
  },
};

/** What `configure` changes on a node, asked of the engine and of the server. */
export interface NodeSettings {
  readonly memoryBytes: number;
  readonly maxmemory: string;
  readonly policy: string;
  readonly users: readonly string[];
}

const MIB = 1024 ** 2;
export const beforeConfigure: NodeSettings = {
  memoryBytes: 128 * MIB,
  maxmemory: String(96 * MIB),
  policy: 'noeviction',
  users: ['app', 'default', 'holdfast', 'holdfast-replication'],
};
export const afterConfigure: NodeSettings = {
  memoryBytes: 160 * MIB,
  maxmemory: String(120 * MIB),
  policy: 'allkeys-lru',
  users: ['app', 'default', 'holdfast', 'holdfast-replication', 'reports'],
};

/** Asks every container and every server in it. */
export async function settingsOfNodes({ stack, cluster }: Subject): Promise<readonly NodeSettings[]> {
  const { docker, secrets } = stack.dependencies;
  const [{ containers }, { ca, system }] = await Promise.all([holdings(docker, cluster), secrets.require(cluster)]);
  return Promise.all(
    containers.map(async (name) => {
      const { HostConfig, NetworkSettings } = await docker.getContainer(name).inspect();
      const address = NetworkSettings.Networks[networkName(cluster)]?.IPAddress ?? '';
      return withNode({ address, kind: 'data', password: system.operator, caCert: ca.cert }, async (node) => {
        const value = async (parameter: string) => ((await node.call('CONFIG', 'GET', parameter)) as string[])[1] ?? '';
        return {
          memoryBytes: HostConfig.Memory ?? 0,
          maxmemory: await value('maxmemory'),
          policy: await value('maxmemory-policy'),
          users: ((await node.call('ACL', 'USERS')) as string[]).sort(),
        };
      });
    }),
  );
}
