import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Progress } from '../../config/progress.ts';
import { checkout } from '../../scripts/setup/home.ts';
import { Holdfast, type OperationHandle, type OperationSummary } from '../../starter/client/index.ts';
import { holdings, sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { type Running, until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { type Ended, piped } from './piped.ts';
import { holdfast, keys } from './screen.ts';

/** Steers running operations of one cluster as a person does; the tests follow one another. */
let stack: Stack;
let worker: Running;
let client: Holdfast;
let spec: string;
const name = uniqueName('steer');
const secret = { HOLDFAST_SECRET_OPS: 'only the worker knows it' };

const run = (...args: readonly string[]) => holdfast(args, { env: stack.env });
const script = (...args: readonly string[]) => piped(args, { env: stack.env });
const specWith = (config: Record<string, string> = {}) =>
  testSpec(name, { config, security: { users: [{ name: 'ops', secret: 'env:OPS' }, { name: 'app' }] } });
const save = (config: Record<string, string>) => writeFileSync(spec, JSON.stringify(specWith(config)));

beforeAll(async () => {
  stack = await startStack({ withWorker: false });
  worker = stack.startWorker({ env: secret });
  client = new Holdfast(stack.client);
  spec = join(stack.folder, 'spec.json');
  save({});
  await until('the worker polls', () => client.hasWorker());
});

afterAll(async () => {
  await sweep(stack.dependencies.docker, name);
  await stack.stop();
});

/** The newest operation, as soon as it is so. */
async function operationThat(is: string, so: (progress: Progress) => boolean): Promise<OperationHandle> {
  return until(`the operation ${is}`, async () => {
    const [newest] = await client.operations.list({ cluster: name, state: 'running', limit: 1 });
    if (newest === undefined) return undefined;
    const handle = await client.operations.attach(newest.workflowId);
    return so(await handle.progress()) ? handle : undefined;
  });
}

/** Applies the spec, and returns as soon as somebody is asked. */
async function applyThatAsks(): Promise<{ readonly applied: Promise<Ended>; readonly handle: OperationHandle }> {
  const applied = script('apply', '-f', spec, '--yes', '--needs-approval', '120');
  return { applied, handle: await operationThat('waits for approval', (progress) => progress.stage === 'approval') };
}

test('doctor does not make the bucket that it misses', async () => {
  const env = { ...stack.env, HOLDFAST_S3_BUCKET: 'elsewhere' };
  const [first, second] = [await piped(['doctor'], { env }), await piped(['doctor'], { env })];
  expect(first.stdout).toMatch(/! object store .*no bucket elsewhere yet\n.*holdfast worker/);
  expect(second.stdout).toContain('no bucket elsewhere yet');
});

test('on a machine whose clock is an hour fast doctor says so, and neither it nor who waits for an answer misses the worker', async () => {
  const wrong = join(checkout, 'test', 'support', 'wrong-clock.ts');
  const env = { ...stack.env, NODE_OPTIONS: `--import ${wrong}`, TEST_CLOCK_OFF_MS: '3600000' };
  const { stdout } = await piped(['doctor'], { env });
  expect(stdout).toMatch(/! clock +(3599|360\d) s ahead of the object store's\n +next: set the clock/);
  expect(stdout).not.toContain('no worker polls');
  process.kill(worker.pid, 'SIGSTOP');
  const listed = piped(['list'], { env });
  const asked = () => stack.client.workflow.count("WorkflowType = 'list' AND ExecutionStatus = 'Running'");
  await until('it is asked', async () => (await asked()).count > 0);
  await sleep(4000); // it is looked into by then
  process.kill(worker.pid, 'SIGCONT');
  expect(await listed).toMatchObject({ code: 0 });
});

test('an approved operation that is paused holds before its first step, and goes on when it is resumed', async () => {
  const { applied, handle } = await applyThatAsks();
  expect(await script('operations', 'pause', name)).toMatchObject({
    code: 0,
    stdout: `It stops before its next step. Go on with: holdfast operations resume ${handle.workflowId}\n`,
  });
  const approved = await script('operations', 'approve', name, '--by', 'ada', '--reason', 'looks right');
  expect(approved).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Approved\. Watch it: holdfast operations show /) });

  await operationThat('stands still', (progress) => progress.stage === 'act' && progress.paused);
  const shown = await script('operations', 'show', name);
  expect(shown.stdout).toMatch(/paused · step 1 of \d+\n +next: holdfast operations resume /);
  // A list does not wait long for a worker that is busy: then it says no more than Temporal does.
  await until('the list says so', async () => new RegExp(` provision +${name} +paused `).test((await script('operations', 'list')).stdout));
  expect(await holdings(stack.dependencies.docker, name)).toEqual({ containers: [], volumes: [], networks: [] });

  expect(await script('operations', 'resume', name)).toMatchObject({ code: 0, stdout: 'It goes on.\n' });
  const { code, stderr } = await applied;
  // It looks once a second: the approval may be over by then, the pause is not.
  expect(stderr).toMatch(/\] paused\n[\s\S]*\] goes on\n/);
  expect(code).toBe(0);
  expect((await script('events', name, '-o', 'wide')).stdout).toMatch(/ provision +done .* ada: looks right /);
});

test('status --watch draws in place, again and again, and ends with the verdict on Ctrl-C', async () => {
  const screen = run('status', name, '--watch', '--interval', '1');
  await screen.shows('every 1 s, Ctrl-C ends');
  const lookedAt = () => /^.*(?=, every 1 s)/m.exec(screen.text())?.[0];
  const first = lookedAt();
  await until('it has looked again', async () => lookedAt() !== first);
  expect(screen.text().match(new RegExp(`● ${name} healthy`, 'g'))).toHaveLength(1);
  screen.type(keys.ctrlC);
  expect(await screen.ended).toBe(0);
});

test('connect works for a user whose password can be read here, and says why it does not for another', async () => {
  const { code, stdout } = await script('connect', name);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^user +app$/m);
  expect(stdout).toMatch(/^not here +user ops: secret env:OPS cannot be read: set HOLDFAST_SECRET_OPS/m);

  const refused = await script('connect', name, '--user', 'ops');
  expect(refused).toMatchObject({ code: 2, stdout: '' });
  expect(refused.stderr).toMatch(/^error: user ops: secret env:OPS cannot be read: set HOLDFAST_SECRET_OPS .*\(--user\): app, holdfast\n$/);
  expect(await piped(['connect', name, '--user', 'ops'], { env: { ...stack.env, ...secret } })).toMatchObject({ code: 0, stderr: '' });
});

test('a plan that has changed since it was shown is not carried out', async () => {
  save({ 'slowlog-max-len': '77' });
  const screen = run('apply', '-f', spec);
  await screen.shows(`configure ${name}? [y/N]`);
  await client.configure.execute({ spec: specWith({ 'slowlog-max-len': '99' }) });
  screen.type(`y${keys.enter}`);
  expect(await screen.ended).toBe(7);
  expect(screen.text().replaceAll('\n', ' ')).toMatch(/PlanRefused: .*changed since it was shown/);
  expect((await client.describe(name)).spec.config).toEqual({ 'slowlog-max-len': '99' });
});

test('a rejected operation ends with 7 and changes nothing', async () => {
  const { applied } = await applyThatAsks();
  expect(await script('operations', 'reject', name)).toMatchObject({ code: 0, stdout: 'Rejected. Nothing will be changed.\n' });
  expect(await applied).toMatchObject({ code: 7, stderr: expect.stringMatching(/Rejected: .* rejected it; nothing was changed/) });
  expect((await client.describe(name)).spec.config).toEqual({ 'slowlog-max-len': '99' });
});

test('a cancelled operation ends with 1 and changes nothing; whoever cancels it may wait for that', async () => {
  const { applied } = await applyThatAsks();
  const cancelled = await script('operations', 'cancel', name, '--wait');
  expect(cancelled).toMatchObject({ code: 0, stdout: 'Cancelled: The operation was cancelled.\n' });
  expect(await applied).toMatchObject({ code: 1, stderr: expect.stringContaining('Cancelled: The operation was cancelled.') });
  expect((await client.describe(name)).spec.config).toEqual({ 'slowlog-max-len': '99' });
  const { stdout } = await script('operations', 'list', '--cluster', name, '--state', 'cancelled', '-o', 'json');
  expect((JSON.parse(stdout) as readonly OperationSummary[]).map((one) => one.operation)).toEqual(['configure']);
});

test('steering an operation that has ended ends with 5, or with 7 when it does not ask', async () => {
  const { handle, applied } = await applyThatAsks();
  await script('operations', 'pause', name);
  await script('operations', 'approve', name);
  const twice = await script('operations', 'approve', name);
  expect(twice).toMatchObject({ code: 7, stderr: expect.stringContaining('does not wait for an approval now') });
  expect(await script('operations', 'cancel', name)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^It stops at its next step\. What it did by then is undone where it can be\./),
  });
  expect(await applied).toMatchObject({ code: 1 });
  const late = await script('operations', 'pause', handle.workflowId);
  expect(late).toMatchObject({ code: 5, stderr: expect.stringContaining('has ended already') });
});

test('volumes that were kept can be removed afterwards; then nothing knows the cluster any more', async () => {
  expect(await script('deprovision', name, '--confirm', name, '--keep-volumes')).toMatchObject({ code: 0 });
  expect((await holdings(stack.dependencies.docker, name)).volumes).toHaveLength(6);
  expect(await script('describe', name)).toMatchObject({ code: 0 });
  const again = await script('deprovision', name, '--confirm', name, '--keep-volumes');
  expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('There is nothing to remove.') });

  expect(await script('deprovision', name, '--confirm', name)).toMatchObject({ code: 0 });
  expect(await holdings(stack.dependencies.docker, name)).toEqual({ containers: [], volumes: [], networks: [] });
  for (const read of ['describe', 'events']) {
    const gone = await script(read, name);
    expect(gone).toMatchObject({ code: 5, stdout: '', stderr: expect.stringContaining(`No cluster "${name}" is kept here`) });
  }
  const gone = await script('deprovision', name, '--confirm', name);
  expect(gone).toMatchObject({ code: 5, stderr: expect.stringContaining(`there is no cluster named ${name}`) });
});
