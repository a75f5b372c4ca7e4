/**
 * What a worker's process is started with.
 * - New objects live short here, and Node's default room for them (16 MiB for each of several heaps, times three) was a third of a worker's memory.
 * - The old ones may grow by so many percent before all are collected. By itself V8 gives a heap that is as small as ours a tenth or four times as much, by how it goes: with a tenth the buffers of a stream (they count) fill it every few
 *   MiB, and collecting took twice the CPU of all the rest of a backup; with four times as much it grows by 100 MiB. `--optimize-for-size` is always the tenth.
 * - What streams leave behind is collected when we say so (`madeLeftovers`), not when 64 MiB of it lie around.
 */
export const workerNodeFlags: readonly string[] = ['--max-semi-space-size=2', '--heap-growing-percent=40', '--expose-gc'];

/**
 * And in what environment: the Rust core of the SDK has some tens of threads, and glibc gives each room of its own until it is told not to. Two rooms are 20 MiB less, of 230, and one another 8; most of what threads ask for comes from a
 * cache that each has.
 * And what streams leave behind goes back to the system: glibc learns from the first large piece that is freed to keep all such pieces, and a worker grew by 20 MiB with each of its first backups.
 */
export const workerEnvironment = { MALLOC_ARENA_MAX: '1', MALLOC_MMAP_THRESHOLD_: '131072' } as const;
