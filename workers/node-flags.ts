/**
 * What a worker's process is started with. New objects live short here, and Node's default room for them (16 MiB for each of several heaps,
 * times three) was a third of a worker's memory.
 */
export const workerNodeFlags: readonly string[] = ['--max-semi-space-size=2'];
