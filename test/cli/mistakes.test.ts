import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { piped } from './piped.ts';
import { holdfast } from './screen.ts';

const folder = mkdtempSync(join(tmpdir(), 'holdfast-cli-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A port that nothing listens on. */
const nowhere = {
  HOLDFAST_TEMPORAL_ADDRESS: '127.0.0.1:1',
  HOLDFAST_S3_ENDPOINT: 'http://127.0.0.1:1',
  HOLDFAST_DOCKER_HOST: 'unix:///nonexistent',
};

const file = (name: string, text: string) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

/** A mistake is told in a few lines, without a stack, and nothing goes to standard output. */
async function mistake(args: readonly string[], input = '') {
  const ended = await piped(args, { env: nowhere, input });
  expect(ended.stdout).toBe('');
  expect(ended.stderr).not.toMatch(/\n +at /);
  return ended;
}

describe('help', () => {
  test('lists every command and every exit code', async () => {
    const screen = holdfast(['--help']);
    expect(await screen.ended).toBe(0);
    for (const word of ['apply', 'status', 'connect', 'operations', 'deprovision', 'doctor', 'completion', 'Exit codes:', '130'])
      expect(screen.text()).toContain(word);
  });

  test('of a command is found both ways', async () => {
    const [one, other] = await Promise.all([piped(['help', 'apply']), piped(['apply', '--help'])]);
    expect(one).toEqual(other);
    expect(one).toMatchObject({ code: 0, stderr: '' });
    expect(one.stdout).toContain('--when-busy');
  });
});

describe('a wrong command line ends with 2 and says what was meant', () => {
  test.each([
    [['statsu'], /unknown command 'statsu'\n\(Did you mean status\?\)\nSee: holdfast --help/],
    [['provision', 'orders', '--shards', '3'], /To make or change a cluster: holdfast apply -f spec.yaml/],
    [['status', '--wach'], /unknown option '--wach'\n\(Did you mean --watch\?\)\nSee: holdfast status --help/],
    [['apply'], /required option '-f, --filename <spec>' not specified/],
    [['status', '-o', 'xml'], /Allowed choices are table, json, yaml, wide/],
    [['events', 'demo', '--limit', 'many'], /whole number/],
    [['restore', 'demo', '--into', 'two', '--at', '2026-11-21T14:03:26'], /has no time zone: 2026-11-21T14:03:26Z is UTC/],
    [['restore', 'demo', '--into', 'two', '--at', '2026-11-21'], /a moment with its time zone, such as 2026-11-21T14:03:26Z/],
    [['drill', 'demo', '--at', 'yesterday'], /a moment with its time zone/],
    [['restore', 'demo', '--latest', '--ttl', 'relative'], /Allowed choices are absolute, shift/],
    [['restore', 'demo', '--latest', '--confirm', 'dmeo'], /--confirm says "dmeo", but the cluster is "demo". Nothing was changed/],
    [['schema', 'nope'], /Allowed choices are cluster-spec/],
  ])('%j', async (args, message) => {
    const { code, stderr } = await mistake(args);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });
});

describe('a spec that cannot be used ends with 2, before anything is contacted', () => {
  test('a file that is not there', async () => {
    const { code, stderr } = await mistake(['apply', '-f', join(folder, 'none.yaml')]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/Cannot read .*none\.yaml: there is no such file/);
  });

  test('broken YAML, with its line', async () => {
    const { code, stderr } = await mistake(['plan', '-f', file('broken.yaml', 'name: demo\n  engine: valkey\n')]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/broken\.yaml:1:7: not valid YAML/);
  });

  test('several documents', async () => {
    expect((await mistake(['plan', '-f', '-'], 'name: aa\n---\nname: bb\n')).stderr).toContain('standard input holds 2 documents');
  });

  test('wrong fields and types, each with its line', async () => {
    const { code, stderr } = await mistake(['apply', '-f', file('wrong.yaml', 'name: demo\nengine: valkey\nversion: 9.1\nshrads: 3\n')]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/wrong\.yaml:3: version: .*put it in quotes: "9\.1"/);
    expect(stderr).toMatch(/wrong\.yaml:4: .*"shrads"/);
  });
});

describe('what is not there', () => {
  test('an unreachable Temporal ends with 6 and the next command', async () => {
    const { code, stderr } = await mistake(['list']);
    expect(code).toBe(6);
    expect(stderr).toMatch(/127\.0\.0\.1:1 does not answer.*holdfast doctor/);
  });

  test('--debug shows where it happened', async () => {
    const { stderr } = await piped(['list', '--debug'], { env: nowhere });
    expect(stderr).toMatch(/\n +at /);
  });

  test('doctor names each missing part and what to do, and ends with 6', async () => {
    const { code, stdout } = await piped(['doctor'], { env: nowhere });
    expect(code).toBe(6);
    for (const part of ['temporal', 'object store', 'master key', 'docker']) expect(stdout).toMatch(new RegExp(`✖ ${part} .*\\n +next: `));
  });

  test('doctor as JSON is for programs', async () => {
    const { stdout } = await piped(['doctor', '-o', 'json'], { env: nowhere });
    expect(JSON.parse(stdout)).toContainEqual(expect.objectContaining({ name: 'temporal', state: 'failed', next: expect.any(String) }));
  });

  test('a misspelt setting is refused', async () => {
    const { code, stderr } = await piped(['list'], { env: { HOLDFAST_TEMPORAL_ADRESS: 'x' } });
    expect(code).toBe(2);
    expect(stderr).toContain('HOLDFAST_TEMPORAL_ADRESS: no such setting');
  });
});

describe('colours', () => {
  test('are there on a terminal', async () => {
    const screen = holdfast(['doctor'], { env: nowhere });
    await screen.ended;
    expect(screen.raw()).toContain('\x1b[31m✖');
  });

  test('are off with NO_COLOR, and in a pipe', async () => {
    const screen = holdfast(['doctor'], { env: { ...nowhere, NO_COLOR: '1' } });
    await screen.ended;
    expect(screen.raw()).not.toContain('\x1b[31m');
    expect((await piped(['doctor'], { env: nowhere })).stdout).not.toContain('\x1b[');
  });
});

test('completion scripts can be loaded by the shell that they are for', async () => {
  const { code, stdout } = await piped(['completion', 'bash']);
  expect(code).toBe(0);
  expect(stdout).toContain('complete -F _holdfast holdfast');
});
