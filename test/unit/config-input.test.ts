import { describe, expect, test } from 'vitest';
import { BROKEN_JSON, parseInput } from '../../config/input.ts';
import { configureInput, deprovisionInput, operationInputs, operationNames, provisionInput } from '../../config/operations.ts';

const spec = { name: 'orders', engine: 'valkey', version: '9.1' };

const messageFor = (name: keyof typeof operationInputs, raw: unknown): string => {
  const parsed = parseInput(operationInputs[name], raw, name);
  return parsed.ok ? 'accepted' : parsed.message;
};

test.each(operationNames)('%s without an input names the schema to look at', (name) => {
  expect(messageFor(name, undefined)).toContain(`holdfast schema ${name} prints it`);
  expect(messageFor(name, null)).toContain('needs one JSON object');
});

test.each(operationNames)('%s refuses broken JSON with the parser’s words', (name) => {
  expect(messageFor(name, { [BROKEN_JSON]: 'Unexpected token' })).toBe(`the input of ${name} is not JSON: Unexpected token`);
});

test.each(operationNames)('%s refuses text, numbers and lists', (name) => {
  for (const raw of ['text', 7, true, [], [spec]]) expect(messageFor(name, raw)).toContain(`the input of ${name} cannot be used`);
});

test('a typo is named with its place', () => {
  expect(messageFor('provision', { spec: { ...spec, replicas: 2 } })).toMatch(/Unrecognized key: "replicas"\s+→ at spec/);
  expect(messageFor('provision', { spec, dryrun: true })).toContain('dryrun');
});

describe('defaults', () => {
  test('an operation acts, and fails when the cluster is busy, unless told otherwise', () => {
    for (const input of [provisionInput, configureInput]) expect(input.parse({ spec })).toMatchObject({ dryRun: false, whenBusy: 'fail' });
    expect(provisionInput.parse({ spec }).approval).toBeUndefined();
  });

  test('an approval that is asked for is required and waits for an hour', () => {
    expect(provisionInput.parse({ spec, approval: {} }).approval).toEqual({ required: true, timeoutSeconds: 3600 });
  });

  test('deprovision removes volumes and obeys protection', () => {
    expect(deprovisionInput.parse({ cluster: 'orders', confirm: 'orders' })).toMatchObject({ keepVolumes: false, force: false });
  });
});

test('deprovision wants the name of the cluster twice', () => {
  expect(messageFor('deprovision', { cluster: 'orders', confirm: 'order' })).toContain('confirm must repeat the name of the cluster');
  expect(messageFor('deprovision', { cluster: 'orders' })).toContain('confirm');
});
