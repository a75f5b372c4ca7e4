import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { createObjectStore } from '../../activities/storage/object-store.ts';
import { failures } from '../../config/failures.ts';
import { networkName, volumeName } from '../../config/names.ts';
import type { OperationResult } from '../../config/progress.ts';
import { readSettings } from '../../config/settings.ts';
import { holdings, sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { startFaultyStore } from '../support/faulty-store.ts';
import { until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { ask, refusal } from './ask.ts';

/** What the engine in between says instead of the real one; undefined passes the call on. */
type Instead = (call: {
  readonly method: string;
  readonly path: string;
}) => { readonly status: number; readonly message: string } | 'hang up' | undefined;

let stack: Stack;
let engine: Server;
let instead: Instead = () => undefined;
/** Runs after the real engine has answered a call, before the answer is passed on. */
let after: (call: { readonly method: string; readonly path: string }) => Promise<void> = async () => undefined;
const used: string[] = [];
const newName = () => {
  const name = uniqueName();
  used.push(name);
  return name;
};

/** The real engine, behind a socket that can lie: faults that a healthy engine does not have on demand. */
function standIn(answer: IncomingMessage, reply: ServerResponse): void {
  const call = { method: answer.method ?? '', path: answer.url ?? '' };
  const fault = instead(call);
  if (fault === 'hang up') {
    answer.socket.destroy();
    return;
  }
  if (fault !== undefined) {
    answer.resume();
    reply.writeHead(fault.status, { 'content-type': 'application/json' }).end(JSON.stringify({ message: fault.message }));
    return;
  }
  const socketPath = stack.settings.HOLDFAST_DOCKER_HOST.replace('unix://', '');
  const real = request({ socketPath, method: call.method, path: call.path, headers: answer.headers }, async (given) => {
    await after(call);
    reply.writeHead(given.statusCode ?? 500, given.headers);
    given.pipe(reply);
  });
  real.on('error', () => answer.socket.destroy());
  answer.pipe(real);
}

beforeAll(async () => {
  stack = await startStack({ withWorker: false });
  const socket = join(stack.folder, 'docker.sock');
  engine = createServer(standIn);
  await new Promise<void>((resolve) => engine.listen(socket, resolve));
  stack.startWorker({ env: { HOLDFAST_DOCKER_HOST: `unix://${socket}` } });
});
afterEach(async () => {
  instead = () => undefined;
  after = async () => undefined;
  for (const name of used) await sweep(stack.dependencies.docker, name);
});
afterAll(async () => {
  engine.closeAllConnections();
  engine.close();
  await stack.stop();
});

const provision = (name: string, changes = {}) => ask<OperationResult>(stack, 'provision', { spec: testSpec(name, changes) });
const NOTHING = { containers: [], volumes: [], networks: [] };
const expectNothingLeft = async (name: string) => {
  expect(await holdings(stack.dependencies.docker, name)).toEqual(NOTHING);
  expect(await stack.dependencies.store.list(`clusters/${name}/`)).toEqual([]);
};

test('an engine that does not answer is told within half a minute, before anything is changed', async () => {
  const name = newName();
  instead = () => 'hang up';
  const begun = Date.now();
  const failure = await refusal(provision(name));
  expect(failure.type).toBe(failures.hostUnreachable);
  expect(failure.message).toMatch(/the Docker engine does not answer .*Is it running\? holdfast doctor/);
  expect(Date.now() - begun).toBeLessThan(30_000);
  await expectNothingLeft(name);
}, 60_000);

test('an engine that goes away in the middle and comes back holds an operation up, and does not end it', async () => {
  const name = newName();
  let starts = 0;
  let away = 0;
  instead = ({ path }) => {
    if (path.endsWith('/start')) starts += 1;
    if (starts === 0 || away >= 25) return undefined;
    away += 1;
    return 'hang up';
  };
  expect((await provision(name)).outcome).toBe('done');
  expect(away).toBe(25);
}, 90_000);

test('an image that is not there and cannot be pulled is named, with what to do, and nothing is left', async () => {
  const name = newName();
  instead = ({ path }) =>
    /\/images\/(create|.*valkey.*\/json)/.test(path) ? { status: 404, message: 'No such image, and no registry' } : undefined;
  const failure = await refusal(provision(name));
  expect(failure.type).toBe(failures.imageNotAvailable);
  expect(failure.message).toContain('image valkey/valkey:9.1 is not on the host and cannot be pulled');
  expect(failure.message).toContain('docker load');
  await expectNothingLeft(name);
});

test('a full disk is told as such, at once, and nothing is left', async () => {
  const name = newName();
  instead = ({ method, path }) =>
    method === 'POST' && path.includes(`/containers/create?name=${name}-1-1`)
      ? { status: 500, message: 'write /x: no space left on device' }
      : undefined;
  const failure = await refusal(provision(name));
  expect(failure.type).toBe(failures.hostFull);
  expect(failure.message).toContain("the host's disk is full");
  expect(failure.message).toContain('docker system df');
  await expectNothingLeft(name);
});

test('more memory than the host has is refused in the plan, with both figures', async () => {
  const name = newName();
  const failure = await refusal(provision(name, { resources: { memory: '900Gi' } }));
  expect(failure.type).toBe(failures.refused);
  expect(failure.message).toMatch(/has \d+ MiB of memory left to promise, and this needs 5529600 MiB/);
  await expectNothingLeft(name);
});

test('a subnet that is in use is refused with what uses it', async () => {
  const [name, other] = [newName(), newName()];
  const { docker } = stack.dependencies;
  const taken = await docker.createNetwork({ Name: other, IPAM: { Driver: 'default', Config: [{ Subnet: '10.214.77.0/24' }] } });
  try {
    const failure = await refusal(provision(name, { network: { subnet: '10.214.77.0/25' } }));
    expect(failure.type).toBe(failures.subnetTaken);
    expect(failure.message).toContain('subnet 10.214.77.0/25 overlaps with 10.214.77.0/24, which is in use');
    await expectNothingLeft(name);
  } finally {
    await taken.remove();
  }
});

test('a name that somebody else’s container, volume or network holds is refused, and theirs is left alone', async () => {
  const name = newName();
  const { docker } = stack.dependencies;
  const node = `${name}-0-0`;
  const container = await docker.createContainer({ name: node, Image: 'valkey/valkey:9.1', Entrypoint: ['valkey-server'] });
  const volume = volumeName(`${name}-2-1`);
  await docker.createVolume({ Name: volume });
  const network = await docker.createNetwork({ Name: networkName(name) });
  try {
    const failure = await refusal(provision(name));
    expect(failure.type).toBe(failures.refused);
    for (const thing of [`container ${node}`, `volume ${volume}`, `network ${networkName(name)}`])
      expect(failure.message).toContain(`${thing} exists and is not Holdfast's`);
    expect((await container.inspect()).Name).toBe(`/${node}`);
    expect((await docker.getVolume(volume).inspect()).Name).toBe(volume);
  } finally {
    await container.remove();
    await docker.getVolume(volume).remove();
    await network.remove();
  }
  await expectNothingLeft(name);
});

test('a server that dies at its start says why in the error, in its own last words, and nothing is left', async () => {
  const name = newName();
  const failure = await refusal(provision(name, { security: { users: [{ name: 'app', rules: '~* +no-such-command' }] } }));
  expect(failure.type).toBe(failures.nodeDied);
  expect(failure.message).toMatch(/ended with exit code 1 right after its start. Its last lines:/);
  expect(failure.message).toContain("Error in applying operation '+no-such-command'");
  await expectNothingLeft(name);
});

test('a node that never answers is given up after half a minute, and nothing is left', async () => {
  const name = newName();
  const silent = `${name}-1-0`;
  after = async ({ method, path }) => {
    if (method === 'POST' && path.includes(`/containers/${silent}/start`)) await stack.dependencies.docker.getContainer(silent).pause();
  };
  const failure = await refusal(provision(name));
  expect(failure.type).toBe(failures.nodeSilent);
  expect(failure.message).toContain(`${silent} runs but did not answer within 30 s`);
  await expectNothingLeft(name);
}, 90_000);

test('a host that no worker serves is told soon, with how to start one', async () => {
  const name = newName();
  const failure = await refusal(provision(name, { placement: { hosts: ['nowhere'] } }));
  expect(failure.type).toBe(failures.hostUnreachable);
  expect(failure.message).toContain('no worker serves host nowhere: start one with HOLDFAST_HOST=nowhere');
  await expectNothingLeft(name);
});

test('a secret that the worker does not have is named before anything is made', async () => {
  const name = newName();
  const failure = await refusal(provision(name, { security: { users: [{ name: 'app', secret: 'env:NOT_THERE' }] } }));
  expect(failure.type).toBe(failures.secretMissing);
  expect(failure.message).toContain("set HOLDFAST_SECRET_NOT_THERE in the worker's environment");
  await expectNothingLeft(name);
});

test('a failed provision can be repeated at once when its cause is gone', async () => {
  const name = newName();
  instead = ({ path }) => (/\/images\/(create|.*valkey.*\/json)/.test(path) ? { status: 404, message: 'No such image' } : undefined);
  await refusal(provision(name));
  instead = () => undefined;
  expect((await provision(name)).outcome).toBe('done');
  await until('it holds six containers', async () => (await holdings(stack.dependencies.docker, name)).containers.length === 6);
});

test('a worker that starts while the object store is not ready runs, and makes the bucket later; one that is refused ends and says why', async () => {
  const store = await startFaultyStore(stack.settings.HOLDFAST_S3_ENDPOINT);
  const env = { HOLDFAST_S3_ENDPOINT: store.endpoint, HOLDFAST_S3_BUCKET: uniqueName('later') };
  const theirs = createObjectStore(readSettings({ ...stack.env, ...env, HOLDFAST_S3_ENDPOINT: stack.settings.HOLDFAST_S3_ENDPOINT }));
  const isThere = () =>
    theirs.list('').then(
      () => true,
      () => false,
    );
  try {
    store.spoil(() => ({ status: 503 }));
    const early = stack.startWorker({ env });
    const says = `the object store at ${store.endpoint} answered 503 and no word: is it starting, or overloaded? holdfast doctor`;
    const runs = () => stack.workerLog().split('holdfast worker runs').length;
    const before = runs();
    await until('it says what is missing', async () => stack.workerLog().includes(says));
    await until('it runs', async () => runs() > before);
    expect(await isThere()).toBe(false);
    store.mend();
    await until('the bucket is there', isThere);
    await early.kill('SIGTERM');
    store.spoil(() => ({ status: 403 }));
    expect(await stack.startWorker({ env }).ended).toBe(1);
    expect(stack.workerLog()).toContain(
      `${store.endpoint} answered 403 and no word: are its keys right, and may they do that? holdfast doctor`,
    );
  } finally {
    theirs.close();
    store.close();
  }
});
