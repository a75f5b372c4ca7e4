/** The servers that Holdfast runs. */
export type Engine = 'redis' | 'valkey';

/** What a version is expected to do. The catalogue only says what to expect; activities ask the server. */
export interface EngineVersion {
  readonly engine: Engine;
  readonly version: string;
  /** Image reference; the same whether it was pulled or made from Debian packages. */
  readonly image: string;
  /** Programs, looked up on the image's PATH: Holdfast never uses an image's entrypoint. */
  readonly server: string;
  readonly cli: string;
  /** Moves slots atomically on its own: `CLUSTER MIGRATESLOTS` (Valkey >= 9) or `CLUSTER MIGRATION IMPORT` (Redis >= 8.4). */
  readonly atomicSlotMigration: boolean;
  /** Has `CLUSTER SLOT-STATS`. */
  readonly slotStats: boolean;
  /** Keeps a shard id beside each node in nodes.conf (since 7.2). */
  readonly shardIds: boolean;
}

const redis = (version: string, can: Partial<EngineVersion> = {}): EngineVersion => ({
  engine: 'redis',
  version,
  image: `redis:${version}`,
  server: 'redis-server',
  cli: 'redis-cli',
  atomicSlotMigration: false,
  slotStats: false,
  shardIds: true,
  ...can,
});

const valkey = (version: string, can: Partial<EngineVersion> = {}): EngineVersion => ({
  engine: 'valkey',
  version,
  image: `valkey/valkey:${version}`,
  server: 'valkey-server',
  cli: 'valkey-cli',
  atomicSlotMigration: false,
  slotStats: true,
  shardIds: true,
  ...can,
});

/** Versions that the test matrix runs; others are refused, since nobody has seen them work. */
export const engineCatalogue: readonly EngineVersion[] = [
  redis('7.0', { shardIds: false }),
  redis('8.0'),
  valkey('8.1'),
  valkey('9.1', { atomicSlotMigration: true }),
];

/** The catalogue's entry, or undefined when there is none. */
export function findEngineVersion(engine: Engine, version: string): EngineVersion | undefined {
  return engineCatalogue.find((e) => e.engine === engine && e.version === version);
}
