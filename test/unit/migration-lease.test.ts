import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { holdLease, type Lease, Superseded } from '../../activities/migration/lease.ts';

let answer: () => Promise<boolean>;
let lease: Lease;

beforeEach(() => {
  vi.useFakeTimers();
  answer = () => Promise.resolve(true);
  lease = holdLease(() => answer());
});
afterEach(() => {
  lease.end();
  vi.useRealTimers();
});

const silence = () => Promise.reject(new Error('nobody answers'));

describe('an attempt', () => {
  test('that Temporal confirms may begin things', async () => {
    await vi.advanceTimersByTimeAsync(60_000);
    expect(lease.whyNot()).toBeUndefined();
    expect(lease.over).toBe(false);
    await lease.mayGoOn();
  });

  test('that cannot ask Temporal begins nothing before another could have, and goes on when it answers again', async () => {
    answer = silence;
    await vi.advanceTimersByTimeAsync(6000);
    expect(lease.whyNot()).toBeUndefined();
    await vi.advanceTimersByTimeAsync(2000);
    expect(lease.whyNot()).toMatch(/^Temporal has not answered for \d s, and another worker may have taken over$/);
    await lease.mayGoOn(); // what is open is closed all the same
    answer = () => Promise.resolve(true);
    await vi.advanceTimersByTimeAsync(2000);
    expect(lease.whyNot()).toBeUndefined();
  });

  test('is over when nobody has answered for a minute', async () => {
    answer = silence;
    await vi.advanceTimersByTimeAsync(59_000);
    expect(lease.over).toBe(false);
    await vi.advanceTimersByTimeAsync(3000);
    expect(lease.over).toBe(true);
  });

  test('that another has taken over from touches nothing any more', async () => {
    answer = () => Promise.resolve(false);
    await vi.advanceTimersByTimeAsync(2000);
    expect(lease).toMatchObject({ over: true });
    expect(lease.whyNot()).toBe('another attempt has taken over');
    await expect(lease.mayGoOn()).rejects.toThrow(Superseded);
  });

  test('that was frozen for long asks before its next command', async () => {
    vi.setSystemTime(Date.now() + 3_600_000); // no timer has run meanwhile
    answer = () => Promise.resolve(false);
    await expect(lease.mayGoOn()).rejects.toThrow(Superseded);
  });

  test('that was frozen, and is still awaited, goes on', async () => {
    vi.setSystemTime(Date.now() + 3_600_000);
    const going = lease.mayGoOn();
    await vi.advanceTimersByTimeAsync(200);
    await going;
    expect(lease.whyNot()).toBeUndefined();
  });
});
