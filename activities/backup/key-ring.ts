import { randomBytes } from 'node:crypto';
import { failures } from '../../config/failures.ts';
import { backupKeys } from '../../config/names.ts';
import { masterKeyId, open, seal } from '../secrets/envelope.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { fatal } from '../support/failure.ts';

export interface KeyEncryptionKey {
  readonly id: string;
  readonly key: Uint8Array;
}

/** The keys that a cluster's data keys are wrapped with. They lie in the bucket, sealed under the master key. */
export interface KeyRing {
  /** The key for new objects; made when the cluster has none. Another worker's new key is taken up within a minute. */
  current(): Promise<KeyEncryptionKey>;
  /** @throws SecretMissing when there is no such key, WrongMasterKey when it is sealed under another master key only. */
  byId(id: string): Promise<Uint8Array>;
  /** Makes a new key for what comes. What was sealed before stays readable. */
  rotate(): Promise<KeyEncryptionKey>;
  /**
   * Takes up a key of another bucket, from its copy under this master key, or under the one that is given. Safe to repeat.
   * @returns false when there is no such copy. @throws WrongMasterKey when it does not open, PlanRefused when the ring has another key of this id
   */
  adopt(id: string, copyOf: (objectKey: string) => Promise<string | undefined>, under?: Uint8Array): Promise<boolean>;
  /**
   * Gives every key a second copy, under another master key: from then on workers may use either. Safe to repeat; data is not touched. The new
   * master key's `retire` ends the change.
   * @returns ids of the keys that got a copy now.
   */
  rewrap(newMasterKey: Uint8Array): Promise<readonly string[]>;
  /**
   * Removes the copies under another master key. @throws PlanRefused, with nothing removed, when one of them is its key's only copy.
   * @returns ids of the keys that lost a copy.
   */
  retire(oldMasterKeyId: string): Promise<readonly string[]>;
}

interface Copy {
  readonly id: string;
  readonly masterKeyId: string;
}

const KEY_BYTES = 32;
const FRESH_MS = 60_000;

/**
 * Every key has an id of its own and every copy an object of its own that is never written again. So two workers that make a first key at the
 * same moment make two keys, both good for ever, and it does not matter which of them is current.
 */
export function createKeyRing(store: ObjectStore, masterKey: Uint8Array, cluster: string): KeyRing {
  const ours = masterKeyId(masterKey);
  const known = new Map<string, Uint8Array>();
  /** One search for all who ask at the same moment: each would make a first key of its own. */
  let latest: { readonly key: Promise<KeyEncryptionKey>; readonly until: number } | undefined;
  const remember = (key: Promise<KeyEncryptionKey>): Promise<KeyEncryptionKey> => {
    latest = { key, until: Date.now() + FRESH_MS };
    key.catch(() => {
      latest = undefined;
    });
    return key;
  };

  async function copies(): Promise<readonly Copy[]> {
    const prefix = backupKeys.keyCopies(cluster);
    const names = (await store.list(prefix)).map((key) => /^(\d{6}-[0-9a-f]{16})\.([0-9a-f]{16})\.sealed$/.exec(key.slice(prefix.length)));
    return names.flatMap((name) => (name?.[1] === undefined || name[2] === undefined ? [] : [{ id: name[1], masterKeyId: name[2] }]));
  }

  async function read(id: string, under: Uint8Array): Promise<Uint8Array | undefined> {
    const objectKey = backupKeys.keyCopy(cluster, id, masterKeyId(under));
    const sealed = await store.get(objectKey);
    return sealed === undefined ? undefined : open(under, objectKey, Buffer.from(sealed).toString());
  }

  /** True once the bucket gives it back: nothing may be sealed under a key that is not there. */
  async function write({ id, key }: KeyEncryptionKey, under: Uint8Array): Promise<void> {
    const objectKey = backupKeys.keyCopy(cluster, id, masterKeyId(under));
    await store.putNew(objectKey, seal(under, objectKey, key)); // false also when its answer to an earlier try was lost
    const there = await read(id, under);
    if (there === undefined || !Buffer.from(there).equals(key)) throw new Error(`${objectKey} was written, and another one was read back`);
  }

  async function byId(id: string): Promise<Uint8Array> {
    const key = known.get(id) ?? (await read(id, masterKey));
    if (key !== undefined) {
      known.set(id, key);
      return key;
    }
    const others = (await copies()).filter((copy) => copy.id === id);
    if (others.length > 0) throw wrongMasterKey(others);
    throw fatal(
      failures.secretMissing,
      `the bucket has no key ${id} of cluster ${cluster}: put ${backupKeys.keyCopies(cluster)}${id}.*.sealed back from a copy of the bucket; without it, what is sealed under it cannot be read`,
    );
  }

  const wrongMasterKey = (found: readonly Copy[]) =>
    fatal(
      failures.wrongMasterKey,
      `the backup keys of cluster ${cluster} are sealed under master key ${[...new Set(found.map((copy) => copy.masterKeyId))].join(' or ')}, this worker has ${ours}: give the worker the key that was used, or rewrap them`,
    );

  async function make(before: readonly Copy[]): Promise<KeyEncryptionKey> {
    const number = 1 + Math.max(0, ...before.map(({ id }) => Number(id.slice(0, 6))));
    const id = `${String(number).padStart(6, '0')}-${randomBytes(8).toString('hex')}`;
    const key = randomBytes(KEY_BYTES);
    await write({ id, key }, masterKey);
    known.set(id, key);
    return { id, key };
  }

  async function find(): Promise<KeyEncryptionKey> {
    const there = await copies();
    if (there.length === 0) return make(there);
    const id = there
      .flatMap((copy) => (copy.masterKeyId === ours ? [copy.id] : []))
      .toSorted()
      .at(-1);
    if (id === undefined) throw wrongMasterKey(there); // a new one would hide that the worker has a wrong key
    return { id, key: await byId(id) };
  }

  return {
    byId,
    current: () => (latest !== undefined && Date.now() < latest.until ? latest.key : remember(find())),
    rotate: () => remember(copies().then(make)),
    async adopt(id, copyOf, under = masterKey) {
      const objectKey = backupKeys.keyCopy(cluster, id, masterKeyId(under));
      const copy = await copyOf(objectKey);
      if (copy === undefined) return false;
      const key = open(under, objectKey, copy);
      const there = await read(id, masterKey);
      if (there === undefined) await write({ id, key }, masterKey);
      else if (!Buffer.from(there).equals(key))
        throw fatal(
          failures.refused,
          `the bucket has another key ${id} of cluster ${cluster}: what is sealed under either needs it, so none is overwritten`,
        );
      return true;
    },
    async rewrap(newMasterKey) {
      const there = await copies();
      const theirs = masterKeyId(newMasterKey);
      const missing = [...new Set(there.map(({ id }) => id))].filter(
        (id) => !there.some((copy) => copy.id === id && copy.masterKeyId === theirs),
      );
      for (const id of missing) await write({ id, key: await byId(id) }, newMasterKey);
      return missing;
    },
    async retire(oldMasterKeyId) {
      if (oldMasterKeyId === ours)
        throw fatal(failures.refused, `${ours} is the master key of this worker: start it with the new one first`);
      const old = (await copies()).filter((copy) => copy.masterKeyId === oldMasterKeyId);
      for (const { id } of old)
        if ((await read(id, masterKey)) === undefined)
          throw fatal(failures.refused, `key ${id} of cluster ${cluster} has no copy under master key ${ours} yet: rewrap it first`);
      for (const { id } of old) await store.remove(backupKeys.keyCopy(cluster, id, oldMasterKeyId));
      return old.map(({ id }) => id);
    },
  };
}
