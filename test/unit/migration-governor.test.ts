import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createGovernor, type Governor, steadyThrottle } from '../../activities/migration/governor.ts';
import { type Lease, Superseded } from '../../activities/migration/lease.ts';
import type { Probe, ProbeView } from '../../activities/migration/probe.ts';
import { type MoveLimits, moveLimits } from '../../config/migration.ts';
import { noLatencies } from '../../model/migration/latency.ts';

// Fake timers do not reach it.
vi.mock('node:timers/promises', () => ({ setTimeout: (ms: number) => new Promise((done) => setTimeout(done, ms)) }));

/** What the probe has met in its window. */
let seen: ProbeView;
/** What the lease says. */
let unconfirmed: string | undefined;
let over: boolean;
let governor: Governor;

const calm = { p50: 0.5, p99: 1, p999: 2, max: 2, waiting: 0, samples: 100 };
const SOURCE = 0;
const BYTES_PER_KEY = 100;
const STALL_MS = 1000;
const LOOK_MS = 250;

const probe: Probe = {
  open: () => undefined,
  close: () => undefined,
  recent: () => seen,
  all: () => noLatencies,
  stop: async () => undefined,
};
const lease: Lease = {
  whyNot: () => unconfirmed,
  get over() {
    return over;
  },
  mayGoOn: async () => {
    if (over) throw new Superseded('another attempt has taken over');
  },
  end: () => undefined,
};

function govern(limits: Partial<MoveLimits> = {}, heldBefore = 0): Governor {
  governor?.end();
  governor = createGovernor(probe, lease, moveLimits.parse({ stallMs: STALL_MS, ...limits }), heldBefore);
  return governor;
}

beforeEach(() => {
  vi.useFakeTimers();
  [seen, unconfirmed, over] = [calm, undefined, false];
  govern();
});
afterEach(() => {
  governor.end();
  vi.useRealTimers();
});

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** What a promise has come to after so many milliseconds; undefined while it waits. */
async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  let result: T | undefined;
  promise.then(
    (value) => {
      result = value;
    },
    () => undefined, // whoever awaits it sees it
  );
  await pass(ms);
  return result;
}

/** How long a lane rests after a batch. */
async function restAfter(lane: { moved(keys: number, tookMs: number): Promise<void> }, tookMs: number): Promise<number> {
  const start = Date.now();
  let end: number | undefined;
  void lane.moved(1, tookMs).then(() => {
    end = Date.now();
  });
  await pass(1000);
  return (end ?? Number.POSITIVE_INFINITY) - start;
}

describe('while the probe is within its budget', () => {
  test('groups are opened at once, and nothing is slow or held', async () => {
    await pass(10_000);
    expect(await within(0, governor.mayOpen())).toBe('open');
    expect(governor.state()).toEqual({ state: 'moving' });
    expect(governor.heldMs()).toBe(0);
    expect(governor.stopping).toBe(false);
  });

  test('full batches that take little time grow, up to the limit', async () => {
    const lane = govern({ batchKeys: 150 }).throttle(SOURCE, BYTES_PER_KEY);
    const first = lane.batchKeys();
    await lane.moved(first, 0.5);
    expect(lane.batchKeys()).toBeGreaterThan(first);
    for (let i = 0; i < 50; i++) await lane.moved(lane.batchKeys(), 0.5);
    expect(lane.batchKeys()).toBe(150);
  });

  test('a batch holds no more bytes than it may, by what its keys weigh', () => {
    expect(govern({ batchBytes: 100_000 }).throttle(SOURCE, 10_000).batchKeys()).toBe(10);
    expect(governor.throttle(1, 1_000_000).batchKeys()).toBe(1);
  });
});

describe('a p99 over the budget', () => {
  test('makes batches smaller with each look, and says by how much it is over', async () => {
    const lane = governor.throttle(SOURCE, BYTES_PER_KEY);
    const sizes = [lane.batchKeys()];
    seen = { ...calm, p99: 42.26, max: 60 };
    for (let i = 0; i < 4; i++) {
      await pass(LOOK_MS);
      sizes.push(lane.batchKeys());
    }
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a));
    expect(new Set(sizes).size).toBe(sizes.length);
    expect(governor.state()).toEqual({ state: 'slowed', why: 'p99 of the probe is 42.3 ms, its budget 10 ms' });
    expect(await within(0, governor.mayOpen())).toBe('open');
    expect(governor.heldMs()).toBe(0);
  });

  test('makes a lane with the smallest batches rest in proportion to what they take, and no longer when it is over', async () => {
    const lane = governor.throttle(SOURCE, BYTES_PER_KEY);
    expect(await restAfter(lane, 4)).toBe(0);
    seen = { ...calm, p99: 50 };
    await pass(20 * LOOK_MS);
    const smallest = lane.batchKeys();
    expect(smallest).toBeLessThanOrEqual(10);
    const short = await restAfter(lane, 4);
    expect(short).toBeGreaterThanOrEqual(4);
    expect(await restAfter(lane, 40)).toBeGreaterThanOrEqual(short * 5);
    seen = calm;
    await pass(30 * LOOK_MS);
    expect(governor.state()).toEqual({ state: 'moving' });
    expect(await restAfter(lane, 4)).toBe(0);
  });

  test('of a few calls says nothing', async () => {
    const lane = governor.throttle(SOURCE, BYTES_PER_KEY);
    const first = lane.batchKeys();
    seen = { ...calm, p99: 50, samples: 19 };
    await pass(10 * LOOK_MS);
    expect(lane.batchKeys()).toBe(first);
    expect(governor.state()).toEqual({ state: 'moving' });
    seen = { ...seen, samples: 20 };
    await pass(LOOK_MS);
    expect(lane.batchKeys()).toBeLessThan(first);
    expect(governor.state().state).toBe('slowed');
  });

  test('slows every lane down; each of them learns from its own batches, and a group finds what the last one has learned', async () => {
    const [one, other] = [governor.throttle(1, BYTES_PER_KEY), governor.throttle(2, BYTES_PER_KEY)];
    await one.moved(100, 500);
    expect(one.batchKeys()).toBeLessThan(other.batchKeys());
    expect(governor.throttle(1, BYTES_PER_KEY).batchKeys()).toBe(one.batchKeys());
    const before = [one.batchKeys(), other.batchKeys()];
    seen = { ...calm, p99: 50 };
    await pass(LOOK_MS);
    expect(one.batchKeys()).toBeLessThan(before[0] ?? 0);
    expect(other.batchKeys()).toBeLessThan(before[1] ?? 0);
  });
});

describe('an answer that took longer than stallMs', () => {
  test('holds the move at the next group, and says what it waited for', async () => {
    seen = { ...calm, max: 2500 };
    await pass(LOOK_MS);
    expect(governor.state()).toEqual({ state: 'held', why: 'the probe waited 2500 ms for an answer, more than stallMs (1000)' });
    expect(await within(4000, governor.mayOpen())).toBeUndefined();
  });

  test('is not waited for: a call that is still under way holds the move as well', async () => {
    seen = { ...calm, waiting: 1300 };
    await pass(LOOK_MS);
    expect(governor.state()).toMatchObject({ state: 'held', why: expect.stringContaining('waited 1300 ms') });
  });

  test('holds nothing when it took just as long', async () => {
    seen = { ...calm, max: STALL_MS, waiting: STALL_MS };
    await pass(10 * LOOK_MS);
    expect(governor.state()).toEqual({ state: 'moving' });
    expect(await within(0, governor.mayOpen())).toBe('open');
  });

  test('holds the move also when only few calls were made', async () => {
    seen = { ...calm, p99: 2500, max: 2500, samples: 1 };
    await pass(LOOK_MS);
    expect(governor.state().state).toBe('held');
  });

  test('lets it go on when the probe was calm for three seconds, with the first batches, and counts how long it was held', async () => {
    const lane = governor.throttle(SOURCE, BYTES_PER_KEY);
    const first = lane.batchKeys();
    seen = { ...calm, p99: 50, max: 2500 };
    await pass(2000);
    expect(lane.batchKeys()).toBeLessThan(first);
    const may = governor.mayOpen();
    seen = calm;
    expect(await within(2500, may)).toBeUndefined();
    expect(governor.heldMs()).toBeGreaterThanOrEqual(4000);
    expect(await within(1000, may)).toBe('open');
    expect(governor.state()).toEqual({ state: 'moving' });
    expect(lane.batchKeys()).toBe(first);
    const held = governor.heldMs();
    expect(held).toBeGreaterThanOrEqual(4750);
    expect(held).toBeLessThanOrEqual(5250);
    await pass(10_000);
    expect(governor.heldMs()).toBe(held);
  });

  test('begins the three seconds anew when it happens again', async () => {
    seen = { ...calm, max: 2500 };
    await pass(LOOK_MS);
    seen = calm;
    await pass(2500);
    seen = { ...calm, max: 1800 };
    await pass(LOOK_MS);
    seen = calm;
    await pass(2500);
    expect(governor.state()).toMatchObject({ state: 'held', why: expect.stringContaining('waited 1800 ms') });
    expect(governor.heldMs()).toBeGreaterThanOrEqual(5000);
    await pass(1000);
    expect(governor.state()).toEqual({ state: 'moving' });
  });

  test('makes a lane look at the cluster after some seconds: what holds it up may be a shard without a primary', async () => {
    seen = { ...calm, waiting: 2500 };
    await pass(LOOK_MS);
    const may = governor.mayOpen();
    expect(await within(4900, may)).toBeUndefined();
    expect(await within(200, may)).toBe('look');
    expect(governor.state().state).toBe('held');
  });

  test('adds to what earlier attempts were held', async () => {
    govern({}, 7000);
    expect(governor.heldMs()).toBe(7000);
    seen = { ...calm, max: 2500 };
    await pass(1000);
    expect(governor.heldMs()).toBeGreaterThanOrEqual(7700);
    expect(governor.heldMs()).toBeLessThanOrEqual(8000);
  });
});

describe('a governor that is told to stop', () => {
  test('lets no lane open another group, and says that what is open is finished', async () => {
    governor.stop();
    expect(governor.stopping).toBe(true);
    expect(await within(0, governor.mayOpen())).toBe('stop');
    expect(governor.state()).toEqual({ state: 'closing', why: expect.stringContaining('those that are open are finished') });
  });

  test('ends the wait of a lane that is held', async () => {
    seen = { ...calm, max: 2500 };
    await pass(LOOK_MS);
    const may = governor.mayOpen();
    expect(await within(1000, may)).toBeUndefined();
    governor.stop();
    expect(await within(100, may)).toBe('stop');
  });

  test('ends the wait of a lane that nobody has confirmed', async () => {
    unconfirmed = 'nobody answers';
    const may = governor.mayOpen();
    expect(await within(60_000, may)).toBeUndefined();
    governor.stop();
    expect(await within(100, may)).toBe('stop');
  });

  test('lets nobody rest any more: what is open shall be closed soon', async () => {
    const lane = governor.throttle(SOURCE, BYTES_PER_KEY);
    seen = { ...calm, p99: 50 };
    await pass(20 * LOOK_MS);
    expect(await restAfter(lane, 40)).toBeGreaterThan(0);
    governor.stop();
    expect(await restAfter(lane, 40)).toBe(0);
  });
});

describe('an attempt that cannot be confirmed', () => {
  test('opens no group until it is, and tells why', async () => {
    unconfirmed = 'Temporal has not answered for 8 s';
    expect(governor.state()).toEqual({ state: 'held', why: 'Temporal has not answered for 8 s' });
    const may = governor.mayOpen();
    expect(await within(30_000, may)).toBeUndefined();
    unconfirmed = undefined;
    expect(await within(100, may)).toBe('open');
    expect(governor.state()).toEqual({ state: 'moving' });
  });

  test('stops when another has taken over, and sends nothing more', async () => {
    const lane = governor.throttle(SOURCE, BYTES_PER_KEY);
    await lane.mayGoOn();
    over = true;
    await pass(LOOK_MS);
    expect(governor.stopping).toBe(true);
    expect(await within(0, governor.mayOpen())).toBe('stop');
    await expect(lane.mayGoOn()).rejects.toThrow(Superseded);
  });
});

test('a governor that has ended looks no more', async () => {
  governor.end();
  seen = { ...calm, max: 2500 };
  await pass(10_000);
  expect(governor.state()).toEqual({ state: 'moving' });
});

describe('without a probe', () => {
  const limits = moveLimits.parse({ batchKeys: 120 });

  test('batches follow what they take, within the limit, and nobody rests', async () => {
    const lane = steadyThrottle(limits);
    const first = lane.batchKeys();
    for (let i = 0; i < 20; i++) await lane.moved(lane.batchKeys(), 0.5);
    expect(lane.batchKeys()).toBe(120);
    for (let i = 0; i < 20; i++) expect(await restAfter(lane, 500)).toBe(0);
    expect(lane.batchKeys()).toBeLessThan(first);
    await lane.mayGoOn();
  });

  test('an attempt that another has taken over from sends nothing', async () => {
    over = true;
    await expect(steadyThrottle(limits, lease).mayGoOn()).rejects.toThrow(Superseded);
  });
});
