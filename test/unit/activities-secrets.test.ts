import { randomBytes, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { issueNodeCertificate, makeCa } from '../../activities/secrets/certificates.ts';
import { open, seal, sealedUnder } from '../../activities/secrets/envelope.ts';
import { idsOf, masterKeyId, parseMasterKeys } from '../../activities/secrets/master-keys.ts';
import { createSecretStore } from '../../activities/secrets/secret-store.ts';
import type { ObjectStore } from '../../activities/storage/object-store.ts';
import { objectKeys, systemUsers } from '../../config/names.ts';
import { readSettings } from '../../config/settings.ts';
import { digest } from '../../model/layout.ts';
import { memoryStore } from '../support/memory-store.ts';
import { specOf } from './model-observations.ts';

const masterKey = randomBytes(32);
const folder = mkdtempSync(join(tmpdir(), 'holdfast-secrets-'));
afterAll(() => rmSync(folder, { recursive: true }));

const secretStore = (store: ObjectStore, extra: Record<string, string> = {}, environment: Record<string, string> = {}) =>
  createSecretStore(readSettings({ HOLDFAST_MASTER_KEY: masterKey.toString('base64'), ...extra }), store, environment);

const failing = (work: () => unknown): { readonly type: string; readonly message: string; readonly nonRetryable: boolean } => {
  try {
    work();
  } catch (error) {
    return error as { type: string; message: string; nonRetryable: boolean };
  }
  throw new Error('nothing was thrown');
};

describe('an envelope', () => {
  const key = objectKeys.secrets('orders');

  test('gives back what was sealed, for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.string(), (plain, at) => {
        expect(Uint8Array.from(open([masterKey], at, seal(masterKey, at, plain)))).toEqual(plain);
      }),
    );
  });

  test('is different each time, and shows nothing of what is in it', () => {
    const plain = Buffer.from('a very secret password');
    const [one, two] = [seal(masterKey, key, plain), seal(masterKey, key, plain)];
    expect(one).not.toBe(two);
    for (const form of ['utf8', 'hex', 'base64'] as const) expect(one).not.toContain(plain.toString(form));
  });

  test('that was altered anywhere, or cut short anywhere, does not open', () => {
    const sealed = seal(masterKey, key, Buffer.from('secret'));
    const refused = (text: string) => failing(() => open([masterKey], key, text));
    fc.assert(
      fc.property(fc.nat(sealed.length - 1), (at) => {
        expect(refused(sealed.slice(0, at))).toMatchObject({ type: 'WrongMasterKey', nonRetryable: true });
      }),
    );
    const { wrappedKey, sealed: data } = JSON.parse(sealed) as { wrappedKey: string; sealed: string };
    for (const part of [wrappedKey, data]) {
      const bytes = Buffer.from(part, 'base64');
      for (let at = 0; at < bytes.length; at++) {
        const altered = Buffer.from(bytes);
        altered[at] = (altered[at] ?? 0) ^ 1;
        const refusal = refused(sealed.replace(part, altered.toString('base64')));
        expect(refusal).toMatchObject({ type: 'WrongMasterKey', nonRetryable: true });
        expect(refusal.message).toContain('was altered or cut short');
      }
    }
  });

  test('that was moved to another object does not open there', () => {
    const sealed = seal(masterKey, key, Buffer.from('secret'));
    expect(failing(() => open([masterKey], objectKeys.secrets('billing'), sealed)).type).toBe('WrongMasterKey');
  });

  test('of another master key is told from a damaged one', () => {
    const refusal = failing(() => open([randomBytes(32)], key, seal(masterKey, key, Buffer.from('secret'))));
    expect(refusal).toMatchObject({ type: 'WrongMasterKey', nonRetryable: true });
    expect(refusal.message).toMatch(/was sealed under master key \w{16}, this worker has \w{16}/);
  });

  test('opens with each of several master keys, and says which one it was sealed under', () => {
    const former = randomBytes(32);
    const sealed = seal(former, key, Buffer.from('secret'));
    expect(open([masterKey, former], key, sealed).toString()).toBe('secret');
    expect(sealedUnder(key, sealed)).toBe(masterKeyId(former));
    expect(failing(() => sealedUnder(key, sealed.slice(0, -1))).message).toContain('was altered or cut short');
    const refusal = failing(() => open([masterKey, randomBytes(32)], key, sealed));
    expect(refusal.message).toMatch(/this worker has \w{16} and \w{16}/);
  });
});

describe('master keys', () => {
  const [first, second] = [masterKey, randomBytes(32)];
  const text = (key: Buffer) => key.toString('base64');

  test('are read a line each, or with commas between; the first one seals', () => {
    expect(parseMasterKeys(`${text(first)}\n`)).toEqual([first]);
    for (const between of ['\n', '\r\n', ',', ', ', '\n\n']) {
      expect(parseMasterKeys(`${text(first)}${between}${text(second)}\n`)).toEqual([first, second]);
    }
    expect(parseMasterKeys(`${text(first)}\n${text(second)}\n${text(first)}`)).toEqual([first, second]);
    expect(idsOf([first, second])).toEqual({ current: masterKeyId(first), others: [masterKeyId(second)] });
  });

  test('have 32 bytes each; anything else is refused, and says which one it is', () => {
    expect(failing(() => parseMasterKeys('c2hvcnQ=')).message).toMatch(/^the master key must be 32 bytes in base64 .* this one has 5$/);
    expect(failing(() => parseMasterKeys(' \n')).message).toMatch(/there is none$/);
    expect(failing(() => parseMasterKeys(`${text(first)}\nc2hvcnQ=`)).message).toMatch(/^master key 2 of 2 must be 32 bytes .* has 5$/);
  });
});

describe('certificates', async () => {
  const ca = await makeCa('orders');
  const node = await issueNodeCertificate(ca, 'orders-0-0', '10.213.0.16');
  const [caCert, nodeCert] = [new X509Certificate(ca.cert), new X509Certificate(node.cert)];

  test('the CA signs itself and may sign nodes, and no further CA', () => {
    expect(caCert.ca).toBe(true);
    expect(caCert.verify(caCert.publicKey)).toBe(true);
    expect(caCert.checkIssued(caCert)).toBe(true);
    expect(caCert.subject).toBe('CN=Holdfast CA of orders');
  });

  test('a node’s certificate is signed by the CA, fits its key, and is good for its address and its name only', () => {
    expect(nodeCert.ca).toBe(false);
    expect(nodeCert.verify(caCert.publicKey)).toBe(true);
    expect(nodeCert.checkIssued(caCert)).toBe(true);
    expect(nodeCert.checkIP('10.213.0.16')).toBe('10.213.0.16');
    expect(nodeCert.checkIP('10.213.0.17')).toBeUndefined();
    expect(nodeCert.checkHost('orders-0-0')).toBe('orders-0-0');
    expect(nodeCert.checkHost('orders-0-1')).toBeUndefined();
    expect(nodeCert.subjectAltName).toBe('IP Address:10.213.0.16, DNS:orders-0-0');
  });

  test('a node is a server to clients and a client to other nodes', () => {
    expect(nodeCert.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
  });

  test('carry the key identifiers that strict clients insist on', () => {
    const [subject, authority] = [Buffer.from('551d0e', 'hex'), Buffer.from('551d23', 'hex')];
    expect(caCert.raw.includes(subject)).toBe(true);
    for (const identifier of [subject, authority]) expect(nodeCert.raw.includes(identifier)).toBe(true);
  });

  test('are good a day back, for clocks that differ, and for years ahead', () => {
    for (const [cert, days] of [
      [caCert, 3650],
      [nodeCert, 825],
    ] as const) {
      expect(cert.validFromDate.getTime()).toBeLessThan(Date.now() - 23 * 3_600_000);
      expect(cert.validToDate.getTime()).toBeGreaterThan(Date.now() + (days - 1) * 86_400_000);
    }
  });

  test('of another cluster are not trusted', async () => {
    const other = new X509Certificate((await makeCa('orders')).cert);
    expect(nodeCert.verify(other.publicKey)).toBe(false);
  });

  test('no two have the same serial number', async () => {
    const again = new X509Certificate((await issueNodeCertificate(ca, 'orders-0-0', '10.213.0.16')).cert);
    expect(again.serialNumber).not.toBe(nodeCert.serialNumber);
  });
});

describe('the secret store', () => {
  const spec = specOf({ security: { users: [{ name: 'app' }] } });

  test('makes everything once, and nothing when asked again', async () => {
    const store = memoryStore();
    const secrets = secretStore(store);
    const first = await secrets.ensure(spec);
    expect(first.made).toEqual(['CA', 'system passwords', 'password of app']);
    const held = await secrets.require('orders');
    expect(await secrets.ensure(spec)).toEqual({ clusterId: first.clusterId, made: [] });
    expect(await secrets.require('orders')).toEqual(held);
    expect(store.writes).toBe(1);
  });

  test('makes passwords of new users, and keeps those that are there', async () => {
    const store = memoryStore();
    const secrets = secretStore(store);
    await secrets.ensure(spec);
    const before = await secrets.require('orders');
    const more = specOf({ security: { users: [{ name: 'app' }, { name: 'report' }] } });
    expect((await secrets.ensure(more)).made).toEqual(['password of report']);
    const after = await secrets.require('orders');
    expect(after).toMatchObject({ clusterId: before.clusterId, ca: before.ca, system: before.system, users: before.users });
    expect(Object.keys(after.users)).toEqual(['app', 'report']);
  });

  test('makes a password for a user whose name JavaScript itself uses', async () => {
    const secrets = secretStore(memoryStore());
    const odd = specOf({ security: { users: [{ name: 'constructor' }] } });
    expect((await secrets.ensure(odd)).made).toContain('password of constructor');
    const [hashed] = await secrets.hashUsers(odd, await secrets.require('orders'));
    expect(hashed?.passwordSha256).toMatch(/^[0-9a-f]{64}$/);
  });

  test('puts nothing readable into the bucket', async () => {
    const store = memoryStore();
    const secrets = secretStore(store);
    await secrets.ensure(spec);
    const held = await secrets.require('orders');
    const all = [...store.objects.values()].map((bytes) => Buffer.from(bytes).toString()).join('\n');
    for (const secret of [...Object.values(held.system), ...Object.values(held.users), held.ca.key]) expect(all).not.toContain(secret);
    expect(new Set([...Object.values(held.system), ...Object.values(held.users)]).size).toBe(4);
  });

  test('takes passwords from the worker’s environment and files, and never copies them into the bucket', async () => {
    writeFileSync(join(folder, 'report.txt'), 'from a file\n');
    const store = memoryStore();
    const secrets = secretStore(store, { HOLDFAST_SECRETS_DIR: folder }, { HOLDFAST_SECRET_APP_PW: 'from the environment' });
    const referring = specOf({
      security: {
        users: [
          { name: 'app', secret: 'env:APP_PW' },
          { name: 'report', secret: 'file:report.txt' },
        ],
      },
    });
    await secrets.ensure(referring);
    const held = await secrets.require('orders');
    expect(held.users).toEqual({});
    expect((await secrets.hashUsers(referring, held)).map((user) => user.passwordSha256)).toEqual([
      digest('from the environment'),
      digest('from a file'),
    ]);
    store.objects.set(objectKeys.spec('orders'), Buffer.from(JSON.stringify({ spec: referring, generation: 1, acceptedAt: '' })));
    const credentials = await secrets.readCredentials('orders');
    expect(credentials.users).toEqual([
      { name: 'app', password: 'from the environment' },
      { name: 'report', password: 'from a file' },
      { name: systemUsers.operator, password: held.system.operator },
    ]);
    expect(credentials.caCert).toBe(held.ca.cert);
  });

  test.each([
    ['env:APP_PW', {}, "set HOLDFAST_SECRET_APP_PW in the worker's environment"],
    ['file:nobody', { HOLDFAST_SECRETS_DIR: folder }, 'no such file'],
    ['file:..', { HOLDFAST_SECRETS_DIR: folder }, 'EISDIR'],
    ['file:nobody', {}, 'set HOLDFAST_SECRETS_DIR for the worker'],
  ])('names %s when it cannot be read, before anything is made with it', async (secret, extra, says) => {
    const store = memoryStore();
    const refused = secretStore(store, extra).ensure(specOf({ security: { users: [{ name: 'app', secret }] } }));
    await expect(refused).rejects.toMatchObject({ type: 'SecretMissing', nonRetryable: true });
    await expect(refused).rejects.toThrow(`user app: secret ${secret} cannot be read`);
    await expect(refused).rejects.toThrow(says);
    expect(store.writes).toBe(0);
  });

  test('says which cluster’s secrets are missing from the bucket', async () => {
    await expect(secretStore(memoryStore()).require('orders')).rejects.toThrow('the bucket holds no secrets of cluster orders');
  });

  test('without a master key, or with one that is none, says how to make one and is not tried again', async () => {
    for (const settings of [{}, { HOLDFAST_MASTER_KEY: 'c2hvcnQ=' }, { HOLDFAST_MASTER_KEY_FILE: join(folder, 'no.key') }]) {
      const secrets = createSecretStore(readSettings(settings), memoryStore(), {});
      await expect(secrets.ensure(spec)).rejects.toMatchObject({ type: 'WrongMasterKey', nonRetryable: true });
    }
  });

  test('takes a master key up as soon as its file is there', async () => {
    const file = join(folder, 'late.key');
    const secrets = createSecretStore(readSettings({ HOLDFAST_MASTER_KEY_FILE: file }), memoryStore(), {});
    await expect(secrets.ensure(spec)).rejects.toThrow('cannot be read');
    writeFileSync(file, masterKey.toString('base64'));
    expect((await secrets.ensure(spec)).made).toContain('CA');
  });
});
