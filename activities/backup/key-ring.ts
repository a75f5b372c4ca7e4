import { randomBytes } from 'node:crypto';
import { failures } from '../../config/failures.ts';
import type { SealedKey } from '../../config/keys.ts';
import { backupKeys } from '../../config/names.ts';
import { open, seal } from '../secrets/envelope.ts';
import { type MasterKeys, masterKeyId, namesOf } from '../secrets/master-keys.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { fatal } from '../support/failure.ts';
import { refuseWhenCancelled } from '../support/until.ts';

export interface KeyEncryptionKey {
  readonly id: string;
  readonly key: Uint8Array;
}

/** The sealed copy of a key, by its name in a bucket; undefined when it is not there. */
export type CopyOf = (objectKey: string) => Promise<string | undefined>;

/** The keys that a cluster's data keys are wrapped with. They lie in the bucket, sealed under the master key. */
export interface KeyRing {
  /** The key for new objects; made when the cluster has none. Another worker's new key is taken up within a minute. */
  current(): Promise<KeyEncryptionKey>;
  /** @throws SecretMissing when there is no such key, WrongMasterKey when it is sealed under other master keys only. */
  byId(id: string): Promise<Uint8Array>;
  /** Every key that the bucket has, oldest first. Opens none. */
  list(): Promise<readonly SealedKey[]>;
  /** A key from its copy under the first master key, as the bucket has it now. @throws SecretMissing, WrongMasterKey */
  open(id: string): Promise<Uint8Array>;
  /**
   * Makes a new key for what comes. What was sealed before stays readable.
   * @param wish 8 hex digits: asked again with the same ones, it finds the key that it made. Two who ask at once make two good keys
   */
  makeNew(wish: string): Promise<KeyEncryptionKey>;
  /**
   * Takes up a key of another bucket, from its copy under one of these master keys, or of those that are given. Safe to repeat.
   * @returns false when there is no such copy. @throws WrongMasterKey when it does not open, PlanRefused when the ring has another key of this id
   */
  adopt(id: string, copyOf: CopyOf, under?: MasterKeys): Promise<boolean>;
  /**
   * Gives every key a copy under the first master key, and then removes the copies under the others that are here. No data is touched. Safe to
   * repeat; a key always has a copy that opens. Copies under master keys that are not here stay.
   * @returns ids of the keys that got a copy or lost one. @throws WrongMasterKey, with nothing changed, when a key opens under none of these
   */
  rewrap(): Promise<readonly string[]>;
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
export function createKeyRing(store: ObjectStore, masterKeys: MasterKeys, cluster: string): KeyRing {
  const [masterKey] = masterKeys;
  const ours = masterKeyId(masterKey);
  const here = new Map(masterKeys.map((key) => [masterKeyId(key), key]));
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

  async function list(): Promise<readonly SealedKey[]> {
    const under = new Map<string, string[]>();
    for (const copy of await copies()) under.set(copy.id, [...(under.get(copy.id) ?? []), copy.masterKeyId]);
    return [...under].map(([id, its]) => ({ id, under: its })).toSorted((a, b) => (a.id < b.id ? -1 : 1));
  }

  const inBucket: CopyOf = async (objectKey) => {
    const sealed = await store.get(objectKey);
    return sealed === undefined ? undefined : Buffer.from(sealed).toString();
  };

  async function read(id: string, under: Uint8Array, copyOf = inBucket): Promise<Uint8Array | undefined> {
    const objectKey = backupKeys.keyCopy(cluster, id, masterKeyId(under));
    const sealed = await copyOf(objectKey);
    return sealed === undefined ? undefined : open([under], objectKey, sealed);
  }

  /** From the first copy that opens. @throws what is wrong with the first one, when none does */
  async function readAny(id: string, under = masterKeys, copyOf = inBucket): Promise<Uint8Array | undefined> {
    const problems: unknown[] = [];
    for (const one of under) {
      const key = await read(id, one, copyOf).catch((error: unknown) => void problems.push(error));
      if (key !== undefined) return key;
    }
    if (problems.length > 0) throw problems[0];
    return undefined;
  }

  /** True once the bucket gives it back: nothing may be sealed under a key that is not there. */
  async function write({ id, key }: KeyEncryptionKey, under: Uint8Array): Promise<void> {
    const objectKey = backupKeys.keyCopy(cluster, id, masterKeyId(under));
    await store.putNew(objectKey, seal(under, objectKey, key)); // false also when its answer to an earlier try was lost
    const there = await read(id, under);
    if (there === undefined || !Buffer.from(there).equals(key)) throw new Error(`${objectKey} was written, and another one was read back`);
  }

  async function byId(id: string): Promise<Uint8Array> {
    const key = known.get(id) ?? (await readAny(id));
    if (key !== undefined) {
      known.set(id, key);
      return key;
    }
    const others = (await copies()).filter((copy) => copy.id === id);
    // Both copies may be missed in the moment in which one takes the place of the other.
    const late = others.some((copy) => here.has(copy.masterKeyId)) ? await readAny(id) : undefined;
    if (late !== undefined) return late;
    if (others.length > 0) throw wrongMasterKey(others);
    throw missing(id);
  }

  const missing = (id: string) =>
    fatal(
      failures.secretMissing,
      `the bucket has no key ${id} of cluster ${cluster}: put ${backupKeys.keyCopies(cluster)}${id}.*.sealed back from a copy of the bucket; without it, what is sealed under it cannot be read`,
    );

  /**
   * Only when what it holds is held by the copy under the first master key: nothing may depend on it. Whoever goes the other way at the same moment, with another master key first, may
   * have taken that one away meanwhile: then it is put back.
   */
  async function retire(id: string, under: string): Promise<void> {
    const former = here.get(under);
    const [stays, goes] = [await read(id, masterKey), former === undefined ? undefined : await read(id, former)];
    if (goes === undefined) return; // gone already
    if (stays === undefined || !Buffer.from(stays).equals(goes))
      throw fatal(
        failures.refused,
        `the copies of key ${id} of cluster ${cluster} under master keys ${ours} and ${under} are not the same key: what is sealed under either needs it, so none is removed`,
      );
    refuseWhenCancelled();
    await store.remove(backupKeys.keyCopy(cluster, id, under));
    if ((await read(id, masterKey)) === undefined) await write({ id, key: goes }, masterKey);
  }

  const wrongMasterKey = (found: readonly Copy[]) =>
    fatal(
      failures.wrongMasterKey,
      `the backup keys of cluster ${cluster} are sealed under master key ${[...new Set(found.map((copy) => copy.masterKeyId))].join(' or ')}, this worker has ${namesOf(masterKeys)}: give the worker the key that was used, as another line of its master key file`,
    );

  async function make(before: readonly { readonly id: string }[], wish: string): Promise<KeyEncryptionKey> {
    const number = 1 + Math.max(0, ...before.map(({ id }) => Number(id.slice(0, 6))));
    const id = `${String(number).padStart(6, '0')}-${wish}${randomBytes(4).toString('hex')}`;
    const key = randomBytes(KEY_BYTES);
    await write({ id, key }, masterKey);
    known.set(id, key);
    return { id, key };
  }

  async function find(): Promise<KeyEncryptionKey> {
    const there = await copies();
    if (there.length === 0) return make(there, randomBytes(4).toString('hex'));
    const id = there
      .flatMap((copy) => (here.has(copy.masterKeyId) ? [copy.id] : []))
      .toSorted()
      .at(-1);
    if (id === undefined) throw wrongMasterKey(there); // a new one would hide that the worker has a wrong key
    return { id, key: await byId(id) };
  }

  return {
    byId,
    current: () => (latest !== undefined && Date.now() < latest.until ? latest.key : remember(find())),
    list,
    async open(id) {
      const key = await read(id, masterKey);
      if (key === undefined) throw missing(id);
      return key;
    },
    async makeNew(wish) {
      const there = await list();
      const made = there.find(({ id }) => id.slice(7).startsWith(wish));
      return remember(made === undefined ? make(there, wish) : byId(made.id).then((key) => ({ id: made.id, key })));
    },
    async adopt(id, copyOf, under) {
      const key = await readAny(id, under, copyOf);
      if (key === undefined) return false;
      const there = await readAny(id);
      if (there === undefined) await write({ id, key }, masterKey);
      else if (!Buffer.from(there).equals(key))
        throw fatal(
          failures.refused,
          `the bucket has another key ${id} of cluster ${cluster}: what is sealed under either needs it, so none is overwritten`,
        );
      return true;
    },
    async rewrap() {
      const keys = await list();
      const closed = keys.filter(({ under }) => !under.some((id) => here.has(id)));
      if (closed.length > 0) throw wrongMasterKey(closed.flatMap(({ id, under }) => under.map((one) => ({ id, masterKeyId: one }))));
      const changed: string[] = [];
      for (const { id, under } of keys) {
        const former = under.filter((one) => one !== ours && here.has(one));
        if (under.includes(ours) && former.length === 0) continue;
        if (!under.includes(ours)) await write({ id, key: await byId(id) }, masterKey);
        for (const one of former) await retire(id, one);
        changed.push(id);
      }
      return changed;
    },
  };
}
