import { failures } from '../../config/failures.ts';
import type { ClusterKeys, KeyReport, MasterKeyIds } from '../../config/keys.ts';
import { backupKeys, objectKeys } from '../../config/names.ts';
import type { SecretStore } from '../secrets/secret-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { fatal } from '../support/failure.ts';
import { sideBySide } from '../support/side-by-side.ts';

interface KeysDeps {
  readonly secrets: SecretStore;
}

/** So many clusters are looked at side by side. */
const AT_ONCE = 16;

async function keysOf(secrets: SecretStore, cluster: string): Promise<ClusterKeys> {
  const [held, ring] = [await secrets.sealedUnder(cluster), await secrets.keyRing(cluster)];
  return { cluster, ...(held === undefined ? {} : { secrets: held }), keys: await ring.list() };
}

/** What is sealed of a cluster, and under which master keys. Opens nothing. */
export async function surveyKeys({ secrets }: KeysDeps, cluster: string): Promise<{ readonly master: MasterKeyIds } & ClusterKeys> {
  return { master: await secrets.masterKeys(), ...(await keysOf(secrets, cluster)) };
}

/** The same of every cluster that the bucket has anything sealed of. */
export async function listKeys({ store, secrets }: KeysDeps & { readonly store: ObjectStore }): Promise<KeyReport> {
  const [keys, records] = await Promise.all([store.list(backupKeys.allKeyCopies), store.list(objectKeys.clusters)]);
  const nameIn = (key: string) => key.split('/')[1] ?? '';
  const sealed = records.filter((key) => key === objectKeys.secrets(nameIn(key)));
  const names = [...new Set([...keys, ...sealed].map(nameIn))].toSorted();
  const found = await sideBySide(names, AT_ONCE, (name) => keysOf(secrets, name));
  return { master: await secrets.masterKeys(), clusters: found.filter((one) => one.secrets !== undefined || one.keys.length > 0) };
}

/**
 * @param wish 8 hex digits; asked again with the same ones, no second key is made
 * @throws WrongMasterKey when this worker has another master key first than the one that was planned with
 */
export async function makeKey({ secrets }: KeysDeps, cluster: string, under: string, wish: string): Promise<{ readonly id: string }> {
  await requireCurrent(secrets, under);
  const { id } = await (await secrets.keyRing(cluster)).makeNew(wish);
  return { id };
}

/**
 * All that is sealed of a cluster is sealed under one master key, and no copy is left under the others that this worker has. Every key opens at
 * every moment for whoever has both.
 * @throws WrongMasterKey when this worker has another master key first than the one that was planned with
 */
export async function rewrapKeys({ secrets }: KeysDeps, cluster: string, under: string): Promise<void> {
  await requireCurrent(secrets, under);
  await (await secrets.keyRing(cluster)).rewrap();
  await secrets.rewrap(cluster);
}

/** Opens everything, under the one master key alone. @throws WrongMasterKey, SecretMissing */
export async function checkKeys({ secrets }: KeysDeps, cluster: string, under: string): Promise<{ readonly keys: number }> {
  await requireCurrent(secrets, under);
  const ring = await secrets.keyRing(cluster);
  const keys = await ring.list();
  const held = await secrets.sealedUnder(cluster);
  const elsewhere = keys.filter((key) => !key.under.includes(under)).map(({ id }) => `key ${id}`);
  if (held !== undefined && held !== under) elsewhere.push('its secrets');
  if (elsewhere.length > 0)
    throw fatal(
      failures.verificationFailed,
      `not sealed under master key ${under}: ${elsewhere.join(', ')} of cluster ${cluster}. A worker with another master key was at work: give all the same, and run it again`,
    );
  for (const { id } of keys) await ring.open(id);
  await secrets.read(cluster);
  return { keys: keys.length };
}

async function requireCurrent(secrets: SecretStore, under: string): Promise<void> {
  const { current } = await secrets.masterKeys();
  if (current !== under)
    throw fatal(
      failures.wrongMasterKey,
      `the worker that planned this seals under master key ${under}, and this one under ${current}: give all workers the same master keys in the same order, and run it again (with --no-new-key, when it has made one)`,
    );
}
