import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createKeyRing } from '../../activities/backup/key-ring.ts';
import { seal } from '../../activities/secrets/envelope.ts';
import { masterKeyId } from '../../activities/secrets/master-keys.ts';
import { backupKeys } from '../../config/names.ts';
import { memoryStore } from '../support/memory-store.ts';

const masterKey = randomBytes(32);
const [ours, other] = [masterKey, randomBytes(32)];
const WISH = '01234567';
const hex = (key: Uint8Array) => Buffer.from(key).toString('hex');

describe('a key ring', () => {
  let store: ReturnType<typeof memoryStore>;
  const ring = (key = ours, cluster = 'orders') => createKeyRing(store, [key], cluster);
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

  test('makes a new key for what comes, once for each wish; the old one stays readable', async () => {
    const one = ring();
    const first = await one.current();
    const second = await one.makeNew(WISH);
    expect(second.id).toMatch(new RegExp(`^000002-${WISH}[0-9a-f]{8}$`));
    expect(await ring().makeNew(WISH)).toEqual(second); // by an attempt that does not know of the first one
    const [early, two] = await Promise.all([ring().makeNew('aaaaaaaa'), ring().makeNew('aaaaaaaa')]);
    expect(early.id).not.toBe(two.id); // at once: two good keys, and not two of one name
    for (const { id, key } of [early, two]) {
      expect(hex(await ring().byId(id))).toBe(hex(key));
      store.objects.delete(backupKeys.keyCopy('orders', id, masterKeyId(ours)));
    }
    expect((await ring().list()).map(({ id }) => id)).toEqual([first.id, second.id]);
    expect((await one.current()).id).toBe(second.id);
    expect((await ring().current()).id).toBe(second.id);
    expect(hex(await ring().byId(first.id))).toBe(hex(first.key));
  });

  test('takes up a key that another worker made within a minute', async () => {
    vi.useFakeTimers();
    const one = ring();
    const first = await one.current();
    const second = await ring().makeNew(WISH);
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
    const both = (cluster = 'orders') => createKeyRing(store, [other, ours], cluster);
    const made = async () => [await ring().current(), await ring().makeNew(WISH)];
    const under = async () => (await ring().list()).map((key) => key.under);

    test('opens with both while the change lasts, and with the new one alone after it', async () => {
      const keys = await made();
      expect((await both().current()).id).toBe(keys[1]?.id); // no key is made because the master key is new
      expect(await under()).toEqual([[masterKeyId(ours)], [masterKeyId(ours)]]);
      expect(await both().rewrap()).toEqual(keys.map(({ id }) => id));
      expect(await under()).toEqual([[masterKeyId(other)], [masterKeyId(other)]]);
      for (const one of [both(), ring(other)]) {
        for (const { id, key } of keys) expect(hex(await one.byId(id))).toBe(hex(key));
        expect((await one.current()).id).toBe(keys[1]?.id);
      }
      for (const { id, key } of keys) expect(hex(await ring(other).open(id))).toBe(hex(key));
      expect(await both().rewrap()).toEqual([]); // nothing left to do
      await expect(ring(ours).current()).rejects.toMatchObject({ type: 'WrongMasterKey' });
      const late = await both().makeNew('fedcba98');
      expect(hex(await ring(other).byId(late.id))).toBe(hex(late.key));
    });

    test('goes on where it was when the worker died after any write or removal, and each key opens at every moment', async () => {
      const keys = await made();
      const { putNew, remove } = store;
      for (let survived = 0, done = false; !done; survived++) {
        let left = survived;
        const dying =
          <A extends readonly unknown[], R>(act: (...args: A) => Promise<R>) =>
          async (...args: A): Promise<R> => {
            if (left-- === 0) throw new Error('killed');
            return act(...args);
          };
        Object.assign(store, { putNew: dying(putNew), remove: dying(remove) });
        done = await both()
          .rewrap()
          .then(
            () => survived > 0,
            () => false,
          );
        for (const { id, key } of keys) expect(hex(await both().byId(id))).toBe(hex(key));
        expect(survived).toBeLessThan(20);
      }
      expect(await under()).toEqual([[masterKeyId(other)], [masterKeyId(other)]]);
    });

    test('is read while one copy takes the place of the other', async () => {
      const [first] = await made();
      const { get } = store;
      let rewrapped = false;
      store.get = async (key) => {
        const found = await get(key);
        if (rewrapped || found !== undefined) return found;
        rewrapped = true; // it was looked for under the new master key, and not there yet
        store.get = get;
        await both().rewrap();
        return undefined;
      };
      expect(hex(await both().byId(first?.id ?? ''))).toBe(hex(first?.key ?? Buffer.alloc(0)));
      expect(rewrapped).toBe(true);
    });

    test('changes nothing when a key opens with none of the master keys that are here', async () => {
      await made();
      await createKeyRing(store, [randomBytes(32), ours], 'orders').rewrap();
      await ring().makeNew('fedcba98'); // this one opens
      const before = [...store.objects.keys()];
      await expect(both().rewrap()).rejects.toMatchObject({ type: 'WrongMasterKey' });
      expect([...store.objects.keys()]).toEqual(before);
    });

    test('keeps a copy that holds another key than the one beside it, and says so', async () => {
      const [first] = await made();
      const id = first?.id ?? '';
      const beside = backupKeys.keyCopy('orders', id, masterKeyId(other));
      store.objects.set(beside, Buffer.from(seal(other, beside, randomBytes(32))));
      await expect(both().rewrap()).rejects.toThrow('are not the same key');
      expect(hex(await ring(ours).byId(id))).toBe(hex(first?.key ?? Buffer.alloc(0)));
    });

    test('opens by the copy that is whole when the other one is damaged', async () => {
      const [first] = await made();
      const id = first?.id ?? '';
      store.objects.set(backupKeys.keyCopy('orders', id, masterKeyId(other)), Buffer.from('cut sho'));
      expect(hex(await both().byId(id))).toBe(hex(first?.key ?? Buffer.alloc(0)));
      await expect(ring(other).byId(id)).rejects.toThrow('was altered or cut short');
    });

    test('has a copy of each when two go in opposite directions, and one of them was given up in the middle', async () => {
      const keys = await made();
      await both().rewrap();
      // The one with the former key first has read both copies, and is about to remove the new one; the other removes the former one meanwhile.
      const { remove } = store;
      store.remove = async (key) => {
        store.remove = remove;
        await both().rewrap();
        await remove(key);
      };
      await createKeyRing(store, [ours, other], 'orders').rewrap();
      for (const { id, key } of keys) expect(hex(await both().byId(id))).toBe(hex(key));
    });

    test('leaves copies under master keys that are not here', async () => {
      const [first] = await made();
      const id = first?.id ?? '';
      const copy = backupKeys.keyCopy('orders', id, 'a'.repeat(16));
      store.objects.set(copy, Buffer.from('of another installation'));
      await both().rewrap();
      expect((await ring().list())[0]?.under.toSorted()).toEqual([masterKeyId(other), 'a'.repeat(16)].toSorted());
    });
  });
});
