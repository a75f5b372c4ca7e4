/** A worker whose clock is an hour slow. Temporal's own part of it keeps the right time: it is the process that signs requests and stamps what it writes. */
const SLOW_MS = 3_600_000;
const now = Date.now.bind(Date);
globalThis.Date = class extends Date {
  constructor(...given: readonly unknown[]) {
    // @ts-expect-error: whatever Date takes
    super(...(given.length === 0 ? [now() - SLOW_MS] : given));
  }
  static override now(): number {
    return now() - SLOW_MS;
  }
} as DateConstructor;

const { runWorkers } = await import('../../workers/main.ts');
await runWorkers();
