/** Loaded first (`--import`), it makes the clock of a process wrong. */
const offMs = Number(process.env.TEST_CLOCK_OFF_MS);
if (!Number.isInteger(offMs) || offMs === 0) throw new Error('say in TEST_CLOCK_OFF_MS by how much the clock is off');
const now = Date.now.bind(Date);
globalThis.Date = class extends Date {
  constructor(...given: readonly unknown[]) {
    // @ts-expect-error: whatever Date takes
    super(...(given.length === 0 ? [now() + offMs] : given));
  }
  static override now(): number {
    return now() + offMs;
  }
} as DateConstructor;
