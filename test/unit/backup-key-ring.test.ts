import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createKeyRing } from '../../activities/backup/key-ring.ts';
import { masterKeyId } from '../../activities/secrets/envelope.ts';
import { backupKeys } from '../../config/names.ts';
import { memoryStore } from '../support/memory-store.ts';

const masterKey = randomBytes(32);
const [ours, other] = [masterKey, randomBytes(32)];
const hex = (key: Uint8Array) => Buffer.from(key).toString('hex');

describe('a key ring', () => {
  let store: ReturnType<typeof memoryStore>;
  const ring = (key = ours, cluster = 'orders') => createKeyRing(store, key, cluster);
  beforeEach(() => {
    store = memoryStore();
  });
  afterEach(() => void vi.useRealTimers());

  test('makes a key when it is asked for the first time, and then gives the same one to every worker', async () => {
    const first = await ring().current();
    expect(first.id).toMatch(/^000001-[0-9a-f]{16}$/);
    expect(first.key).toHaveLength(32);
    expect(await ring().current()).toEqual(first);
    expect(hex(await ring().byId(first.id))).toBe(hex(first.key));
    expect([...store.objects.keys()]).toEqual([backupKeys.keyCopy('orders', first.id, masterKeyId(ours))]);
  });

  test('makes one key for all who ask it at the same moment', async () => {
    const one = ring();
    const ids = (await Promise.all(Array.from({ length: 10 }, () => one.current()))).map(({ id }) => id);
    expect(new Set(ids).size).toBe(1);
    expect(store.objects.size).toBe(1);
  });

  test('of two workers that make a first key at the same moment loses neither, also on a store that lets both write', async () => {
    store.putNew = async (key, body) => {
      store.objects.set(key, Buffer.from(body)); // overwrites, as some servers do under a race
      return true;
    };
    const [one, two] = await Promise.all([ring().current(), ring().current()]);
    expect(one.id).not.toBe(two.id);
    for (const { id, key } of [one, two]) expect(hex(await ring().byId(id))).toBe(hex(key));
    const later = await Promise.all([ring().current(), ring().current()]);
    expect(new Set(later.map(({ id }) => id)).size).toBe(1); // and from then on they agree
  });

  test('uses a key only after the bucket has given it back, also when the answer to the first try was lost', async () => {
    const { putNew } = store;
    store.putNew = async (key, body) => {
      await putNew(key, body);
      return false;
    };
    const made = await ring().current();
    expect(hex(await ring().byId(made.id))).toBe(hex(made.key));
    store = memoryStore();
    store.putNew = async () => true; // says so, and keeps nothing
    await expect(ring().current()).rejects.toThrow('another one was read back');
  });

  test('tries again after a failure', async () => {
    const one = ring();
    const { list } = store;
    store.list = async () => {
      throw new Error('away');
    };
    await expect(one.current()).rejects.toThrow('away');
    store.list = list;
    await expect(one.current()).resolves.toBeDefined();
  });

  test('shows no key in the bucket', async () => {
    const { key } = await ring().current();
    const all = Buffer.concat([...store.objects.values()]).toString('latin1');
    for (const form of ['latin1', 'hex', 'base64'] as const) expect(all).not.toContain(Buffer.from(key).toString(form));
  });

  test('rotates: what comes is sealed under a new key, the old one stays readable', async () => {
    const one = ring();
    const first = await one.current();
    const second = await one.rotate();
    expect(second.id).toMatch(/^000002-/);
    expect((await one.current()).id).toBe(second.id);
    expect((await ring().current()).id).toBe(second.id);
    expect(hex(await ring().byId(first.id))).toBe(hex(first.key));
  });

  test('takes up a key that another worker made within a minute', async () => {
    vi.useFakeTimers();
    const one = ring();
    const first = await one.current();
    const second = await ring().rotate();
    expect((await one.current()).id).toBe(first.id);
    vi.advanceTimersByTime(60_000);
    expect((await one.current()).id).toBe(second.id);
  });

  test('keeps the keys of clusters apart', async () => {
    const [orders, orders2] = [await ring(ours, 'orders').current(), await ring(ours, 'orders-2').current()];
    await expect(ring(ours, 'orders-2').byId(orders.id)).rejects.toMatchObject({ type: 'SecretMissing', nonRetryable: true });
    expect(hex(await ring(ours, 'orders-2').byId(orders2.id))).toBe(hex(orders2.key));
    // An envelope that was moved to another cluster does not open there.
    const moved = backupKeys.keyCopy('orders-2', orders.id, masterKeyId(ours));
    store.objects.set(moved, store.objects.get(backupKeys.keyCopy('orders', orders.id, masterKeyId(ours))) ?? Buffer.alloc(0));
    await expect(ring(ours, 'orders-2').byId(orders.id)).rejects.toMatchObject({ type: 'WrongMasterKey' });
  });

  test('says what to put back when a key is gone', async () => {
    await expect(ring().byId('000003-0123456789abcdef')).rejects.toThrow('put keys/orders/000003-0123456789abcdef.*.sealed back');
  });

  test('with a wrong master key makes no key of its own, and says which one was used', async () => {
    const { id } = await ring().current();
    for (const asked of [ring(other).current(), ring(other).byId(id)]) {
      await expect(asked).rejects.toMatchObject({ type: 'WrongMasterKey', nonRetryable: true });
      await expect(asked).rejects.toThrow(`sealed under master key ${masterKeyId(ours)}, this worker has ${masterKeyId(other)}`);
    }
    expect(store.objects.size).toBe(1);
  });

  describe('whose master key is changed', () => {
    test('is readable with both while the change lasts, and with the new one alone after it', async () => {
      const [first, second] = [await ring().current(), await ring().rotate()];
      expect(await ring().rewrap(other)).toEqual([first.id, second.id]);
      for (const master of [ours, other]) {
        for (const { id, key } of [first, second]) expect(hex(await ring(master).byId(id))).toBe(hex(key));
        expect((await ring(master).current()).id).toBe(second.id);
      }
      expect(await ring().rewrap(other)).toEqual([]); // nothing left to do
      expect(await ring(other).retire(masterKeyId(ours))).toEqual([first.id, second.id]);
      expect(hex(await ring(other).byId(first.id))).toBe(hex(first.key));
      await expect(ring(ours).current()).rejects.toMatchObject({ type: 'WrongMasterKey' });
    });

    test('goes on where it was when the worker died in the middle', async () => {
      const keys = [await ring().current(), await ring().rotate(), await ring().rotate()];
      const { putNew } = store;
      let writes = 0;
      store.putNew = async (key, body) => {
        if (++writes === 2) throw new Error('killed');
        return putNew(key, body);
      };
      await expect(ring().rewrap(other)).rejects.toThrow('killed');
      for (const { id, key } of keys) expect(hex(await ring().byId(id))).toBe(hex(key));
      store.putNew = putNew;
      expect(await ring().rewrap(other)).toEqual(keys.slice(1).map(({ id }) => id));
      for (const { id, key } of keys) expect(hex(await ring(other).byId(id))).toBe(hex(key));
    });

    test('keeps the only copy of a key, whatever it is told', async () => {
      await ring().current();
      await ring().rewrap(other);
      const late = await ring().rotate(); // by a worker that has the old master key still
      const before = [...store.objects.keys()];
      await expect(ring(other).retire(masterKeyId(ours))).rejects.toMatchObject({ type: 'PlanRefused' });
      await expect(ring(ours).retire(masterKeyId(ours))).rejects.toThrow('start it with the new one first');
      expect([...store.objects.keys()]).toEqual(before);
      await expect(ring(other).byId(late.id)).rejects.toMatchObject({ type: 'WrongMasterKey' });
      await ring(ours).rewrap(other);
      await ring(other).retire(masterKeyId(ours));
      expect(hex(await ring(other).byId(late.id))).toBe(hex(late.key));
    });
  });
});
