/** A worker whose clock is wrong. Temporal's own part of it keeps the right time: it is the process that signs requests and stamps what it writes. */
await import('./wrong-clock.ts');
const { runWorkers } = await import('../../workers/main.ts');
await runWorkers();
