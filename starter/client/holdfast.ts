import type { Client } from '@temporalio/client';
import type { RecoveryWindow } from '../../config/archive.ts';
import type { BackupManifest, BackupSummary } from '../../config/backup.ts';
import type { KeyReport } from '../../config/keys.ts';
import type { JournalEntry } from '../../config/progress.ts';
import { readSettings } from '../../config/settings.ts';
import type { ClusterSummary, KeeperDescription, StatusReport } from '../../config/status.ts';
import { type OperationHandle, operationHandle } from './operation-handle.ts';
import { type ListFilter, listOperations, type OperationSummary, summarize } from './operation-list.ts';
import { type Operation, operationStarter } from './operation-starter.ts';
import { askBackup, askBackups, askKeys, askList, askRecoveryWindow, askStatus, describeCluster, readJournal } from './questions.ts';
import { type RecoverySummary, summarizeRecovery } from './recovery-summaries.ts';
import { type ConnectOptions, connectTemporal, type Temporal, wrapClient } from './temporal.ts';

/** The operations of all clusters. */
export interface Operations {
  /** Newest first. */
  list(filter?: ListFilter): Promise<readonly OperationSummary[]>;
  /** What Temporal knows of one operation, running or ended. @throws OperationNotFound */
  describe(workflowId: string): Promise<OperationSummary>;
  /** A handle on an operation that runs or has ended. @throws OperationNotFound */
  attach(workflowId: string): Promise<OperationHandle>;
}

/** What is stored of clusters, also of those that are gone. */
export interface Backups {
  /** Newest first, 50 unless told otherwise. @throws NoWorker */
  list(cluster: string, options?: { readonly limit?: number }): Promise<readonly BackupSummary[]>;
  /** The manifest of one backup; the newest one's of `latest`. @throws BackupNotFound, NoWorker */
  describe(cluster: string, id: string): Promise<BackupManifest>;
}

/**
 * Asks Holdfast for operations. Works over Temporal alone: no access to the clusters, the engine or the object store is needed.
 *
 * ```ts
 * await using holdfast = await Holdfast.connect();
 * const operation = await holdfast.provision.start({ spec: { name: 'orders', engine: 'valkey', version: '9.1' } });
 * for await (const progress of operation.watch()) console.log(progress.stage);
 * console.log((await operation.result()).summary);
 * ```
 */
export class Holdfast implements AsyncDisposable {
  readonly provision: Operation<'provision'>;
  readonly configure: Operation<'configure'>;
  readonly deprovision: Operation<'deprovision'>;
  readonly scale: Operation<'scale'>;
  readonly rebalance: Operation<'rebalance'>;
  readonly repair: Operation<'repair'>;
  readonly backup: Operation<'backup'>;
  readonly restore: Operation<'restore'>;
  readonly drill: Operation<'drill'>;
  readonly rotate: Operation<'rotate'>;
  /** Holds a backup, or releases it. */
  readonly hold: Operation<'hold'>;
  readonly verifyBackup: Operation<'verifyBackup'>;
  /** Gives what is sealed of a cluster a new key, and the master key that the workers seal under. */
  readonly rotateKeys: Operation<'rotateKeys'>;
  readonly backups: Backups;
  readonly operations: Operations;
  readonly #temporal: Temporal;

  /** Takes a Temporal client that you have already; `connect` makes one. */
  constructor(client: Client, address = 'the given address') {
    const temporal = wrapClient(client, address);
    this.#temporal = temporal;
    this.provision = operationStarter(temporal, 'provision');
    this.configure = operationStarter(temporal, 'configure');
    this.deprovision = operationStarter(temporal, 'deprovision');
    this.scale = operationStarter(temporal, 'scale');
    this.rebalance = operationStarter(temporal, 'rebalance');
    this.repair = operationStarter(temporal, 'repair');
    this.backup = operationStarter(temporal, 'backup');
    this.restore = operationStarter(temporal, 'restore');
    this.drill = operationStarter(temporal, 'drill');
    this.rotate = operationStarter(temporal, 'rotate');
    this.hold = operationStarter(temporal, 'hold');
    this.verifyBackup = operationStarter(temporal, 'verifyBackup');
    this.rotateKeys = operationStarter(temporal, 'rotateKeys');
    this.backups = {
      list: (cluster, options) => askBackups(temporal, cluster, options?.limit),
      describe: (cluster, id) => askBackup(temporal, cluster, id),
    };

    const describe = async (workflowId: string): Promise<OperationSummary> =>
      summarize(await temporal.call(workflowId, () => client.workflow.getHandle(workflowId).describe()));
    this.operations = {
      list: (filter) => listOperations(temporal, filter),
      describe,
      async attach(workflowId) {
        const { runId } = await describe(workflowId);
        return operationHandle(temporal, client.workflow.getHandle(workflowId, runId), runId);
      },
    };
  }

  /**
   * Connects to Temporal. What is not given comes from the environment (docs/settings.md).
   * @throws TemporalUnreachable
   */
  static async connect(options: ConnectOptions = {}): Promise<Holdfast> {
    const settings = readSettings(process.env);
    const address = options.address ?? settings.HOLDFAST_TEMPORAL_ADDRESS;
    const namespace = options.namespace ?? settings.HOLDFAST_TEMPORAL_NAMESPACE;
    const { client } = await connectTemporal({ ...options, address, namespace });
    return new Holdfast(client, address);
  }

  /** What is true of a cluster now, asked of every node; `absent` when there is nothing of this name. @throws NoWorker */
  status(cluster: string): Promise<StatusReport> {
    return askStatus(this.#temporal, cluster);
  }

  /** To which moments a cluster can be brought back, and every gap with its reason; also one that is gone. @throws NoWorker */
  recoveryWindow(cluster: string): Promise<RecoveryWindow> {
    return askRecoveryWindow(this.#temporal, cluster);
  }

  /** The same in short of every cluster, by name; also of those that are gone and have backups, or an archive. @throws NoWorker */
  recoveryWindows(): Promise<readonly RecoverySummary[]> {
    return summarizeRecovery({
      list: () => this.list(),
      keys: () => this.keys(),
      recoveryWindow: (cluster) => this.recoveryWindow(cluster),
      hasBackup: async (cluster) => (await this.backups.list(cluster, { limit: 1 })).length > 0,
    });
  }

  /** What is sealed under which master key, of every cluster. Holds no key. @throws NoWorker */
  keys(): Promise<KeyReport> {
    return askKeys(this.#temporal);
  }

  /** Every cluster, also those of which only parts were found. @throws NoWorker */
  list(): Promise<readonly ClusterSummary[]> {
    return askList(this.#temporal);
  }

  /** The spec that holds, its generation, and since when. @throws ClusterNotKept */
  describe(cluster: string): Promise<KeeperDescription> {
    return describeCluster(this.#temporal, cluster);
  }

  /** Every operation on a cluster: who, what, when, result. Newest last. @throws ClusterNotKept */
  journal(cluster: string): Promise<readonly JournalEntry[]> {
    return readJournal(this.#temporal, cluster);
  }

  /**
   * Whether a worker is there to take operations.
   * @param started an operation that was started a moment ago: then it is asked by Temporal's clock, and not by this machine's, which may be wrong
   */
  async hasWorker(started?: { readonly workflowId: string }): Promise<boolean> {
    const { client } = this.#temporal;
    if (started === undefined) return this.#temporal.hasWorker();
    const { startTime } = await this.#temporal.call(started.workflowId, () => client.workflow.getHandle(started.workflowId).describe());
    return this.#temporal.hasWorker(startTime.getTime());
  }

  close(): Promise<void> {
    return this.#temporal.client.connection.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
