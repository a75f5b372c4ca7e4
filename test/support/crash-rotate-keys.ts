import { deepStrictEqual } from 'node:assert/strict';
import { createKeyRing, type KeyRing } from '../../activities/backup/key-ring.ts';
import { type MasterKeys, masterKeyId, parseMasterKeys } from '../../activities/secrets/master-keys.ts';
import { createSecretStore } from '../../activities/secrets/secret-store.ts';
import { clusterSpec } from '../../config/cluster-spec.ts';
import type { Cancellable } from './crash-cancel.ts';
import { execute, type Subject, type Survivor } from './crash-harness.ts';
import type { Stack } from './stack.ts';

/** The keys of each cluster before, by id, and its CA. */
const before = new Map<string, { readonly keys: ReadonlyMap<string, string>; readonly caCert: string }>();
const UNIQUE = ['1', '2', '3'].map((digit) => digit.repeat(8));

const mastersOf = (stack: Stack): MasterKeys => parseMasterKeys(stack.env.HOLDFAST_MASTER_KEY ?? '');
/** Of the master key that seals, and of the former one; of nothing else. */
const alone = (stack: Stack, which: 'current' | 'former'): Uint8Array => {
  const [current, former] = mastersOf(stack);
  return which === 'current' ? current : (former ?? current);
};
const ringOf = ({ stack, cluster }: Subject, key: Uint8Array): KeyRing => createKeyRing(stack.dependencies.store, [key], cluster);
const secretsUnder = ({ stack }: Subject, key: Uint8Array) =>
  createSecretStore({ ...stack.settings, HOLDFAST_MASTER_KEY: Buffer.from(key).toString('base64') }, stack.dependencies.store, {});
const text = (key: Uint8Array) => Buffer.from(key).toString('hex');

/** Keys and secrets of a cluster whose workers had another master key. */
async function sealed(subject: Subject): Promise<void> {
  const former = alone(subject.stack, 'former');
  const keys = new Map<string, string>();
  for (const unique of UNIQUE) {
    const { id, key } = await ringOf(subject, former).makeNew(unique);
    keys.set(id, text(key));
  }
  const secrets = secretsUnder(subject, former);
  await secrets.ensure(clusterSpec.parse({ name: subject.cluster, engine: 'valkey', version: '9.1' }));
  before.set(subject.cluster, { keys, caCert: (await secrets.require(subject.cluster)).ca.cert });
}

/** Each key that was there opens with one of the master keys, and is what it was. */
async function allOpen(subject: Subject, masterKeys: MasterKeys): Promise<void> {
  const ring = createKeyRing(subject.stack.dependencies.store, masterKeys, subject.cluster);
  for (const [id, key] of before.get(subject.cluster)?.keys ?? []) deepStrictEqual(text(await ring.byId(id)), key);
}

export const rotateKeys: Survivor = {
  operation: 'rotateKeys',
  prepare: sealed,
  input: (cluster) => ({ cluster }),
  check: async (subject) => {
    const current = alone(subject.stack, 'current');
    await allOpen(subject, [current]);
    const keys = await ringOf(subject, current).list();
    deepStrictEqual(keys.length, UNIQUE.length + 1); // one new one, however often its making was begun
    for (const { under } of keys) deepStrictEqual(under, [masterKeyId(current)]);
    const { id } = await ringOf(subject, current).current();
    deepStrictEqual(before.get(subject.cluster)?.keys.has(id), false);
    const { ca } = await secretsUnder(subject, current).require(subject.cluster);
    deepStrictEqual(ca.cert, before.get(subject.cluster)?.caCert);
  },
};

/** Everything opens with the two master keys together, and a second rotation ends it. */
export const cancelledRotateKeys: Cancellable = {
  ...rotateKeys,
  undone: async (subject) => {
    await allOpen(subject, mastersOf(subject.stack));
    await execute(subject, 'rotateKeys', { cluster: subject.cluster, newKey: false });
    const current = alone(subject.stack, 'current');
    await allOpen(subject, [current]);
    deepStrictEqual((await secretsUnder(subject, current).require(subject.cluster)).ca.cert, before.get(subject.cluster)?.caCert);
  },
};
