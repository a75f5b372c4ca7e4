/**
 * What a worker's process is started with. New objects live short here, and Node's default room for them (16 MiB for each of several heaps,
 * times three) was a third of a worker's memory. V8's `--optimize-for-size` would take 20 MiB more off, and collects all the time while a backup runs: a quarter slower. And what streams leave behind is collected when we say so (`madeLeftovers`), not when 64 MiB of it lie around.
 */
export const workerNodeFlags: readonly string[] = ['--max-semi-space-size=2', '--expose-gc'];

/**
 * And in what environment: the Rust core of the SDK has some tens of threads, and glibc gives each room of its own until it is told not to. Two rooms are 20 MiB less, of 230.
 * And what streams leave behind goes back to the system: glibc learns from the first large piece that is freed to keep all such pieces, and a worker grew by 20 MiB with each of its first backups.
 */
export const workerEnvironment = { MALLOC_ARENA_MAX: '2', MALLOC_MMAP_THRESHOLD_: '131072' } as const;
