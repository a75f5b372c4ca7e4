import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { checkout } from '../../scripts/setup/home.ts';
import { Holdfast, type OperationSummary } from '../../starter/client/index.ts';
import { holdings, sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { piped } from './piped.ts';
import { holdfast, keys } from './screen.ts';

/** One cluster's life as a person sees it; the tests follow one another. */
let stack: Stack;
const name = uniqueName('cli');
const example = uniqueName('ex');
let spec: string;

const run = (...args: readonly string[]) => holdfast(args, { env: stack.env });
const script = (...args: readonly string[]) => piped(args, { env: stack.env });
const save = (changes: Parameters<typeof testSpec>[1] = {}) => writeFileSync(spec, JSON.stringify(testSpec(name, changes)));

beforeAll(async () => {
  stack = await startStack({ withWorker: false });
  spec = join(stack.folder, 'spec.json');
  save();
});

afterAll(async () => {
  await sweep(stack.dependencies.docker, name);
  await sweep(stack.dependencies.docker, example);
  await stack.stop();
});

test('without a worker a question ends soon with 6 and the next command, and does not hang', async () => {
  const { code, stderr } = await script('status', name);
  expect(code).toBe(6);
  expect(stderr).toMatch(/No worker takes the work.*holdfast worker/);
  stack.startWorker();
  await until('the worker polls', () => new Holdfast(stack.client).hasWorker());
});

describe('apply', () => {
  test('of a script must say --yes, after the plan was shown', async () => {
    const { code, stdout, stderr } = await script('apply', '-f', spec);
    expect(code).toBe(2);
    expect(stdout).toContain('form the cluster');
    expect(stderr).toMatch(/nobody sits at a terminal\. Use --yes/);
  });

  test('changes nothing when the answer is not yes', async () => {
    const screen = run('apply', '-f', spec);
    await screen.shows(`provision ${name}? [y/N]`);
    screen.type(`n${keys.enter}`);
    expect(await screen.ended).toBe(7);
    expect(screen.text()).toContain('Nothing was changed.');
    expect(await holdings(stack.dependencies.docker, name)).toEqual({ containers: [], volumes: [], networks: [] });
  });

  test('that waits for approval can be rejected by another person, with a reason', async () => {
    const screen = run('apply', '-f', spec, '--yes', '--needs-approval', '60');
    await screen.shows('holdfast operations approve');
    const rejected = await script('operations', 'reject', name, '--by', 'ada', '--reason', 'not on a Friday');
    expect(rejected).toMatchObject({ code: 0, stderr: '' });
    expect(await screen.ended).toBe(7);
    expect(screen.text()).toMatch(/Rejected: ada rejected it: not on a Friday/);
  });

  test('shows the steps as they run; Ctrl-C lets go and the operation goes on; show --watch comes back to it', async () => {
    const screen = run('apply', '-f', spec);
    await screen.shows(`provision ${name}? [y/N]`);
    screen.type(`y${keys.enter}`);
    await screen.shows(/✔ make network/);
    await screen.shows(/[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] start /);
    screen.type(keys.ctrlC);
    expect(await screen.ended).toBe(130);
    expect(screen.text()).toContain('Detached. The operation goes on');
    const back = /come back: +holdfast (operations show \S+ --watch)/.exec(screen.text())?.[1] ?? '';

    const again = run(...back.split(' '));
    expect(await again.ended).toBe(0);
    expect(again.text()).toMatch(new RegExp(`${name} is healthy`));
  });

  test('of the same spec finds nothing to do', async () => {
    const { code, stdout } = await script('apply', '-f', spec, '--yes', '-o', 'json');
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as OperationResult).outcome).toBe('unchanged');
  });

  test('of a changed spec plans and makes the change, told line by line in a log', async () => {
    save({ config: { 'slowlog-max-len': 77 } });
    const plan = await script('plan', '-f', spec);
    expect(plan).toMatchObject({ code: 0 });
    expect(plan.stdout).toContain('slowlog-max-len');
    const { code, stderr } = await script('apply', '-f', spec, '--yes', '--reason', 'look closer');
    expect(code).toBe(0);
    expect(stderr).toMatch(/^\[ *\d+\.\ds\] .* done in /m);
    expect((await script('events', name, '-o', 'wide')).stdout).toContain('look closer');
  });
});

describe('reading', () => {
  test('status leads with the verdict and ends with 0 when it is healthy', async () => {
    const screen = run('status', name);
    expect(await screen.ended).toBe(0);
    expect(screen.text().split('\n')[0]).toMatch(new RegExp(`^● ${name} healthy`));
    expect(screen.text()).toMatch(/0-5460 .* primary +running/);
  });

  test('status as JSON is the report; of a name that is not there it ends with 5', async () => {
    const { stdout } = await script('status', name, '-o', 'json');
    expect((JSON.parse(stdout) as StatusReport).verdict).toBe('healthy');
    expect(await script('status', 'nobody', '-o', 'json')).toMatchObject({ code: 5 });
  });

  test('list, describe and operations know the cluster, in every format', async () => {
    expect((await script('list', '-o', 'yaml')).stdout).toContain(`cluster: ${name}`);
    expect((await script('describe', name)).stdout).toMatch(/generation 2[\s\S]*slowlog-max-len: "77"/);
    const { stdout } = await script('operations', 'list', '--cluster', name, '-o', 'json');
    const states = (JSON.parse(stdout) as readonly OperationSummary[]).map((o) => `${o.operation} ${o.state}`);
    expect(states.slice(-2)).toEqual(['provision done', 'provision failed']);
    expect(states).toContain('configure done');
  });
});

describe('connect', () => {
  test('prints how, and the password only when asked', async () => {
    const ca = join(stack.folder, 'ca.crt');
    const hidden = await script('connect', name, '--ca-file', ca);
    expect(hidden.stdout).toContain(`valkey-cli -h`);
    expect(readFileSync(ca, 'utf8')).toContain('BEGIN CERTIFICATE');
    const { stdout } = await script('connect', name, '--show-password', '-o', 'json');
    const { password } = JSON.parse(stdout) as { password: string };
    expect(password.length).toBeGreaterThan(15);
    expect(hidden.stdout).not.toContain(password);
  });

  test("--exec opens the engine's CLI in a node, as the application's user", async () => {
    const screen = run('connect', name, '--exec');
    await screen.shows('127.0.0.1:6379>');
    screen.type(`set greeting hello${keys.enter}`);
    await screen.shows('OK');
    screen.type(`acl whoami${keys.enter}`);
    await screen.shows('"app"');
    screen.type(`exit${keys.enter}`);
    expect(await screen.ended).toBe(0);
  });
});

describe('deprovision', () => {
  test('does nothing unless the name is typed', async () => {
    const screen = run('deprovision', name);
    await screen.shows('Type the name of the cluster');
    screen.type(`${name.slice(1)}${keys.enter}`);
    expect(await screen.ended).toBe(7);
    expect((await script('deprovision', name)).stderr).toContain(`Use --confirm ${name}`);
    expect(await script('deprovision', name, '--confirm', 'other')).toMatchObject({ code: 2 });
    expect(await script('status', name)).toMatchObject({ code: 0 });
  });

  test('removes everything once it is', async () => {
    const screen = run('deprovision', name);
    await screen.shows('Type the name of the cluster');
    screen.type(`${name}${keys.enter}`);
    expect(await screen.ended).toBe(0);
    expect(await holdings(stack.dependencies.docker, name)).toEqual({ containers: [], volumes: [], networks: [] });
    expect(await script('deprovision', name, '--confirm', name)).toMatchObject({ code: 5 });
  });
});

test('the client example runs as it stands', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['examples/client.ts', example], {
    cwd: checkout,
    env: { ...process.env, ...stack.env },
  });
  expect(stdout).toContain(`${example} is healthy: 3 shards`);
  expect(stdout).toMatch(/act: \d+ of \d+ steps, now /);
  expect(await holdings(stack.dependencies.docker, example)).toEqual({ containers: [], volumes: [], networks: [] });
});
