import type { ShardArchiveProgress } from '../../config/archive.ts';
import type { KeyRing } from '../backup/key-ring.ts';
import type { StreamStore } from '../storage/object-store.ts';
import type { ArchivedShard } from './line.ts';
import type { ShardNow } from './shard-now.ts';

export interface ArchiveDeps {
  readonly store: StreamStore;
  readonly ring: KeyRing;
  readonly look: () => Promise<ShardNow>;
  readonly signal: AbortSignal;
  /** Whether this attempt is still the one that is waited for. Asked before what cannot be taken back. */
  readonly confirm: () => Promise<boolean>;
  readonly report: (progress: ShardArchiveProgress) => void;
}

export interface ArchiveOptions extends ArchivedShard {
  readonly mode: 'cluster' | 'sentinel';
  /** A write is stored so long after it was made, at most, in seconds. */
  readonly rpoSeconds: number;
  /** So long a replica is waited for in sentinel mode, before the primary is followed. @default 20,000 */
  readonly patienceMs?: number;
  /** Ends by itself after this time. */
  readonly forMs: number;
}
