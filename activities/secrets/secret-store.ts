import { randomBytes, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import type { MasterKeyIds } from '../../config/keys.ts';
import { objectKeys, systemUsers } from '../../config/names.ts';
import { SECRET_PREFIX, type Settings } from '../../config/settings.ts';
import { hostOf } from '../../model/known-cluster.ts';
import { digest } from '../../model/layout.ts';
import type { HashedUser, SystemPasswords } from '../../model/server-conf.ts';
import { createKeyRing, type KeyRing } from '../backup/key-ring.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { fatal, messageOf } from '../support/failure.ts';
import { refuseWhenCancelled } from '../support/until.ts';
import { type KeyPair, makeCa } from './certificates.ts';
import { open, seal, sealedUnder } from './envelope.ts';
import { idsOf, type MasterKeys, readMasterKeys } from './master-keys.ts';

/** A cluster's secrets, as they lie sealed in the bucket. */
export interface ClusterSecrets {
  readonly clusterId: string;
  /** The Docker host that the cluster was begun on: where to look for it when no spec is on record. */
  readonly host: string;
  readonly ca: KeyPair;
  readonly system: SystemPasswords;
  /** Generated passwords of the spec's users, by name. */
  readonly users: Readonly<Record<string, string>>;
}

/** What a client needs to connect. */
export interface Credentials {
  readonly caCert: string;
  readonly users: readonly { readonly name: string; readonly password: string }[];
  /** Users whose password only the worker can read, with the reason. */
  readonly unreadable: readonly { readonly name: string; readonly why: string }[];
}

/** The only place where secrets are read and written. Nothing that it returns may leave the worker's memory but into a node's volume. */
export interface SecretStore {
  read(cluster: string): Promise<ClusterSecrets | undefined>;
  /** As `read`; a cluster without secrets is a failure. */
  require(cluster: string): Promise<ClusterSecrets>;
  /** Makes what is missing: the whole record, or passwords of users that are new. Tells what it made. */
  ensure(spec: ClusterSpec): Promise<{ readonly clusterId: string; readonly made: readonly string[] }>;
  /** The spec's users with the hashes of their passwords, wherever those come from. */
  hashUsers(spec: ClusterSpec, secrets: ClusterSecrets): Promise<readonly HashedUser[]>;
  /** The spec's users with their passwords, for a person who may read the bucket and has the master key. */
  readCredentials(cluster: string): Promise<Credentials>;
  remove(cluster: string): Promise<void>;
  /** The keys that a cluster's backups are sealed under. They outlive the cluster. */
  keyRing(cluster: string): Promise<KeyRing>;
  /** The master keys of this worker. @throws WrongMasterKey */
  masterKeys(): Promise<MasterKeyIds>;
  /** Id of the master key that a cluster's secrets are sealed under; undefined when it has none. Opens nothing. @throws WrongMasterKey when they are damaged */
  sealedUnder(cluster: string): Promise<string | undefined>;
  /** Seals a cluster's secrets under the first master key. Safe to repeat. @returns false when there is nothing to do. @throws WrongMasterKey */
  rewrap(cluster: string): Promise<boolean>;
}

const password = (): string => randomBytes(24).toString('base64url');

/** @param environment where `env:` references are read, with the prefix HOLDFAST_SECRET_. */
export function createSecretStore(
  settings: Settings,
  store: ObjectStore,
  environment: Readonly<Record<string, string | undefined>>,
): SecretStore {
  let masterKeys: Promise<MasterKeys> | undefined;
  const keys = () => {
    masterKeys ??= readMasterKeys(settings).catch((error: unknown) => {
      masterKeys = undefined; // the file may be there the next time
      throw error;
    });
    return masterKeys;
  };

  const rings = new Map<string, KeyRing>();
  async function read(cluster: string): Promise<ClusterSecrets | undefined> {
    const sealed = await store.get(objectKeys.secrets(cluster));
    return sealed === undefined
      ? undefined
      : (JSON.parse(open(await keys(), objectKeys.secrets(cluster), Buffer.from(sealed).toString()).toString()) as ClusterSecrets);
  }

  async function require(cluster: string): Promise<ClusterSecrets> {
    const secrets = await read(cluster);
    if (secrets === undefined)
      throw fatal(
        failures.secretMissing,
        `the bucket holds no secrets of cluster ${cluster}: is this the bucket that it was made with? holdfast doctor shows the settings`,
      );
    return secrets;
  }

  /** @throws SecretMissing naming the reference. */
  async function resolve(user: ClusterSpec['security']['users'][number], secrets: ClusterSecrets): Promise<string> {
    const [kind = '', name = ''] = user.secret.split(/:(.*)/s);
    const missing = (where: string) => fatal(failures.secretMissing, `user ${user.name}: secret ${user.secret} cannot be read: ${where}`);
    if (kind === 'generated') {
      const generated = Object.hasOwn(secrets.users, user.name) ? secrets.users[user.name] : undefined; // a user may be named `constructor`
      if (generated === undefined) throw missing('none was generated yet; apply the spec again');
      return generated;
    }
    if (kind === 'env') {
      const value = environment[`${SECRET_PREFIX}${name}`];
      if (value === undefined || value === '') throw missing(`set ${SECRET_PREFIX}${name} in the worker's environment`);
      return value;
    }
    if (settings.HOLDFAST_SECRETS_DIR === undefined) throw missing('set HOLDFAST_SECRETS_DIR for the worker');
    const text = await readFile(join(settings.HOLDFAST_SECRETS_DIR, name), 'utf8').catch((error: unknown) => {
      throw missing(messageOf(error));
    });
    if (text.trim() === '') throw missing('the file is empty');
    return text.trim();
  }

  return {
    read,
    require,
    async ensure(spec) {
      const before = await read(spec.name);
      const made: string[] = [];
      const users = { ...before?.users };
      for (const user of spec.security.users) {
        if (user.secret !== 'generated' || Object.hasOwn(users, user.name)) continue;
        users[user.name] = password();
        made.push(`password of ${user.name}`);
      }
      const secrets: ClusterSecrets = {
        clusterId: before?.clusterId ?? randomUUID(),
        host: before?.host ?? hostOf(spec),
        ca: before?.ca ?? (await makeCa(spec.name)),
        system: before?.system ?? { operator: password(), replication: password(), sentinel: password() },
        users,
      };
      if (before === undefined) made.unshift('CA', 'system passwords');
      for (const user of spec.security.users) await resolve(user, secrets); // every reference can be read, before anything is made with it
      if (made.length === 0) return { clusterId: secrets.clusterId, made };
      const objectKey = objectKeys.secrets(spec.name);
      const sealed = seal((await keys())[0], objectKey, Buffer.from(JSON.stringify(secrets)));
      refuseWhenCancelled();
      if (before !== undefined) await store.put(objectKey, sealed);
      // An attempt that was given up may have been faster; nodes may be made with its record already, so that one counts.
      else if (!(await store.putNew(objectKey, sealed))) return { clusterId: (await require(spec.name)).clusterId, made: [] };
      return { clusterId: secrets.clusterId, made };
    },
    hashUsers: (spec, secrets) =>
      Promise.all(
        spec.security.users.map(async (user) => ({
          name: user.name,
          rules: user.rules,
          passwordSha256: digest(await resolve(user, secrets)),
        })),
      ),
    async readCredentials(cluster) {
      const secrets = await require(cluster);
      const record = await store.get(objectKeys.spec(cluster));
      const spec = record === undefined ? undefined : (JSON.parse(Buffer.from(record).toString()) as { spec: ClusterSpec }).spec;
      const users: { name: string; password: string }[] = [];
      const unreadable: { name: string; why: string }[] = [];
      for (const user of spec?.security.users ?? []) {
        await resolve(user, secrets).then(
          (found) => users.push({ name: user.name, password: found }),
          (error: unknown) => unreadable.push({ name: user.name, why: messageOf(error) }),
        );
      }
      users.push({ name: systemUsers.operator, password: secrets.system.operator });
      return { caCert: secrets.ca.cert, users, unreadable };
    },
    remove: (cluster) => store.remove(objectKeys.secrets(cluster)),
    masterKeys: async () => idsOf(await keys()),
    async sealedUnder(cluster) {
      const sealed = await store.get(objectKeys.secrets(cluster));
      return sealed === undefined ? undefined : sealedUnder(objectKeys.secrets(cluster), Buffer.from(sealed).toString());
    },
    async rewrap(cluster) {
      const [sealed, its] = [await store.get(objectKeys.secrets(cluster)), await keys()];
      const text = sealed === undefined ? undefined : Buffer.from(sealed).toString();
      const objectKey = objectKeys.secrets(cluster);
      if (text === undefined || sealedUnder(objectKey, text) === idsOf(its).current) return false;
      const anew = seal(its[0], objectKey, open(its, objectKey, text));
      refuseWhenCancelled();
      await store.put(objectKey, anew);
      return true;
    },
    async keyRing(cluster) {
      const ring = rings.get(cluster) ?? createKeyRing(store, await keys(), cluster);
      rings.set(cluster, ring);
      return ring;
    },
  };
}
