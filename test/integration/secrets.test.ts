import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseMasterKeys } from '../../activities/secrets/master-keys.ts';
import type { BackupSummary } from '../../config/backup.ts';
import type { ClusterSpecInput } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import { objectKeys } from '../../config/names.ts';
import { testSpec } from '../support/clusters.ts';
import { bucketEvidence, engineEvidence, fileEvidence, workflowEvidence } from '../support/crash-evidence.ts';
import {
  beginStack,
  endStacks,
  execute,
  onCluster,
  resultOf,
  type Subject,
  start,
  stopWorkers,
  whileRuns,
  worker,
} from '../support/crash-harness.ts';
import type { Point } from '../support/crash-points.ts';
import { type Evidence, findSecrets, formsOf, type Secrets } from '../support/crash-secret-forms.ts';
import type { Stack } from '../support/stack.ts';

const secret = () => randomBytes(18).toString('base64url');
/** Passwords that a person brings, by each kind of reference. */
const [fromEnvironment, fromFile] = [secret(), secret()];

let stack: Stack;
const secrets: Record<string, string> = { 'the password from the environment': fromEnvironment, 'the password from a file': fromFile };
const evidence: Record<string, string> = {};
let types: ReadonlySet<string>;

/** Runs it with a worker that dies at the point, and then with a second one. */
async function executeWithCrash(subject: Subject, operation: string, input: unknown, crashAt: Point): Promise<void> {
  await stopWorkers(stack);
  const doomed = worker(stack, { crashAt });
  const handle = await start(subject, operation, input);
  expect(await doomed.ended).toBe('SIGKILL');
  await whileRuns(subject, worker(stack), resultOf(handle));
}

beforeAll(async () => {
  stack = await beginStack();
  const folder = join(stack.folder, 'secrets');
  mkdirSync(folder);
  writeFileSync(join(folder, 'reports'), `${fromFile}\n`);
  // For the workers, which inherit them.
  Object.assign(process.env, {
    HOLDFAST_LOG_LEVEL: 'debug',
    HOLDFAST_SECRETS_DIR: folder,
    HOLDFAST_SECRET_BATCH: fromEnvironment,
  });
  await onCluster(stack, live);
}, 300_000);

afterAll(async () => {
  for (const name of ['HOLDFAST_LOG_LEVEL', 'HOLDFAST_SECRETS_DIR', 'HOLDFAST_SECRET_BATCH']) delete process.env[name];
  await endStacks();
});

/** A cluster's whole life, with everything that can go wrong with secrets on the way. */
async function live(subject: Subject): Promise<void> {
  const { cluster } = subject;
  const spec = (users: ClusterSpecInput['security']) => testSpec(cluster, { replicasPerShard: 0, ...(users ? { security: users } : {}) });
  const app = { name: 'app' };
  const others = [{ name: 'fresh' }, { name: 'batch', secret: 'env:BATCH' }, { name: 'reports', secret: 'file:reports' }] as const;
  await executeWithCrash(subject, 'provision', { spec: spec({ users: [app] }) }, { activity: 'ensureNode', occurrence: 2, when: 'after' });
  await executeWithCrash(
    subject,
    'configure',
    { spec: spec({ users: [app, ...others] }) },
    { activity: 'applyUsers', occurrence: 1, when: 'after' },
  );
  const held = await stack.dependencies.secrets.require(cluster);
  const sealed = JSON.parse(Buffer.from((await stack.dependencies.store.get(objectKeys.secrets(cluster))) ?? []).toString()) as Secrets;
  collect(held, sealed);
  // The server refuses these rules, and its own words become the failure's.
  const refused = await start(subject, 'configure', { spec: spec({ users: [app, { name: 'fresh', rules: '+@nonsense' }] }) });
  await expect(refused.result()).rejects.toMatchObject({ cause: { message: expect.stringContaining('ACL SETUSER') } });
  const missing = await start(subject, 'configure', { spec: spec({ users: [app, { name: 'fresh', secret: 'env:NOT_THERE' }] }) });
  await expect(missing.result()).rejects.toMatchObject({ cause: { type: failures.secretMissing } });
  await execute(subject, 'status', { cluster });
  await execute(subject, 'list', {});
  await executeWithCrash(subject, 'backup', { cluster, fromPrimary: true }, { activity: 'verifyShard', occurrence: 1, when: 'after' });
  const [made] = await execute<readonly BackupSummary[]>(subject, 'listBackups', { cluster });
  await execute(subject, 'showBackup', { cluster, backup: made?.id });
  const { key } = await (await stack.dependencies.secrets.keyRing(cluster)).current();
  secrets['the key of the backups'] = Buffer.from(key).toString('base64');
  secrets['the key of the backups in hex'] = Buffer.from(key).toString('hex');
  Object.assign(evidence, await engineEvidence(stack, cluster), await bucketEvidence(stack));
  await executeWithCrash(subject, 'deprovision', { cluster, confirm: cluster }, { activity: 'removeNode', occurrence: 1, when: 'after' });
  await execute(subject, 'status', { cluster });
  const workflows = await workflowEvidence(stack);
  ({ types } = workflows);
  Object.assign(evidence, workflows.evidence, fileEvidence(stack));
}

/** The true secrets, while there are any. */
function collect(held: Awaited<ReturnType<typeof stack.dependencies.secrets.require>>, sealed: Secrets): void {
  const { system, users, ca } = held;
  for (const [user, password] of [...Object.entries(system), ...Object.entries(users)]) secrets[`the password of ${user}`] = password;
  secrets["the CA's private key"] = ca.key;
  for (const [at, masterKey] of parseMasterKeys(stack.env.HOLDFAST_MASTER_KEY ?? '').entries()) {
    const key = Buffer.from(masterKey);
    secrets[`master key ${at}`] = key.toString('base64');
    secrets[`master key ${at} in hex`] = key.toString('hex');
    secrets[`the whole digest of master key ${at}`] = createHash('sha256').update(key).digest('hex');
  }
  secrets['the key of the object store'] = stack.env.HOLDFAST_S3_SECRET_ACCESS_KEY ?? '';
  seals['the wrapped data key'] = sealed.wrappedKey ?? '';
  seals['the sealed secrets'] = sealed.sealed ?? '';
}
const seals: Record<string, string> = {};

const without = (part: RegExp): Evidence => Object.fromEntries(Object.entries(evidence).filter(([where]) => !part.test(where)));

test('no history, log, label or object of a whole life of a cluster holds a password, a private key or the master key', () => {
  expect([...types].sort()).toEqual([
    'backup',
    'configure',
    'deprovision',
    'keeper',
    'list',
    'listBackups',
    'lock',
    'provision',
    'showBackup',
    'status',
  ]);
  expect(Object.keys(secrets).length).toBeGreaterThanOrEqual(10);
  for (const [name, value] of Object.entries(secrets)) expect(value.length, name).toBeGreaterThanOrEqual(16);
  for (const kind of [
    'the history of',
    'docker inspect of container',
    'docker inspect of volume',
    'object clusters/',
    'object backups/',
    'file worker.log',
  ])
    expect(
      Object.keys(evidence).some((where) => where.startsWith(kind)),
      kind,
    ).toBe(true);
  expect(evidence['file worker.log']).toContain('"level":20'); // debug
  expect(findSecrets(secrets, evidence)).toEqual([]);
});

test('sealed secrets are in the bucket and nowhere else', () => {
  expect(Object.values(seals).every((seal) => seal.length > 40)).toBe(true);
  expect(findSecrets(seals, without(/^object /))).toEqual([]);
});

test('the scan finds a password in an input, a memo, a failure and a log, in any form', async () => {
  const planted = secret();
  const hidden = { 'the planted password': planted };
  const found = (text: string) => findSecrets(hidden, { there: text });
  for (const form of Object.values(formsOf(planted))) expect(found(`before ${form} after`)).not.toEqual([]);
  for (const padding of ['', 'x', 'xy', 'xyz']) expect(found(Buffer.from(`${padding}${planted}zzz`).toString('base64'))).not.toEqual([]);
  expect(found('nothing of the kind')).toEqual([]);
  await onCluster(stack, async (subject) => {
    worker(stack);
    const handle = await stack.client.workflow.start('status', {
      taskQueue: 'holdfast',
      workflowId: `${subject.cluster}-planted`,
      args: [{ cluster: subject.cluster, password: planted }],
      memo: { note: { password: planted } },
    });
    await expect(handle.result()).rejects.toThrow(); // no such field
    const { evidence: all } = await workflowEvidence(stack);
    const places = findSecrets(hidden, all).map((finding) => finding.replace(/ cluster\S*| holds.*/g, ''));
    expect(places.some((place) => place.startsWith('the history of status'))).toBe(true);
    expect(places.some((place) => place.startsWith('the description of status'))).toBe(true);
  });
});
