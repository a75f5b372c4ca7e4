import { z } from 'zod';

/** A key that backups and archive of a cluster are sealed under, and the master keys that it has copies under. */
export interface SealedKey {
  /** Six digits that count, a dash, 16 hex digits. */
  readonly id: string;
  /** Ids of master keys: the first 16 hex digits of their SHA-256. */
  readonly under: readonly string[];
}

/** What of a cluster is sealed under which master key. Holds no key. */
export interface ClusterKeys {
  readonly cluster: string;
  /** Id of the master key that its secrets are sealed under; none, when the cluster is gone. */
  readonly secrets?: string;
  /** Oldest first: the last one is for what is stored from now on. */
  readonly keys: readonly SealedKey[];
}

/** Ids of the master keys that a worker has. */
export interface MasterKeyIds {
  /** Of the one that seals. */
  readonly current: string;
  /** Of those that only open. */
  readonly others: readonly string[];
}

/** Every cluster that anything is sealed of, by name. */
export interface KeyReport {
  readonly master: MasterKeyIds;
  readonly clusters: readonly ClusterKeys[];
}

/** Input of `listKeys`. */
export const listKeysInput = z.strictObject({});
