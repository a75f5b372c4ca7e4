import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import { DefaultLogger, Runtime, Worker, type WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { beforeAll, describe, expect, test } from 'vitest';
import { operationNames } from '../../config/operations.ts';
import { bundleWorkflows, payloadConverterPath } from '../../workers/workflow-bundle.ts';

const folder = join(import.meta.dirname, 'histories');
const names = readdirSync(folder).map((file) => file.replace(/\.json$/, ''));

interface Golden {
  readonly workflowId: string;
  readonly history: { readonly events: readonly Record<string, unknown>[] };
}
const read = (name: string): Golden => JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as Golden;

let workflowBundle: WorkflowBundleWithSourceMap;
beforeAll(async () => {
  const logger = new DefaultLogger('ERROR');
  Runtime.install({ logger });
  workflowBundle = await bundleWorkflows(logger);
});

/** Runs today's workflow code against what happened then. @returns why it would have acted otherwise, or undefined. */
async function replay({ workflowId, history }: Golden): Promise<string | undefined> {
  const replayed = Worker.runReplayHistory(
    { workflowBundle, dataConverter: { payloadConverterPath } },
    historyFromJSON(history),
    workflowId,
  );
  return replayed.then(
    () => undefined,
    (error: unknown) => String(error),
  );
}

const ADVICE = `Operations that run while this version is rolled out would stop with this error.
- If a released version made such histories, keep the old path beside the new one: patched('what-changed') from @temporalio/workflow.
- If no release has it yet, record them again: npm run record-histories, and look at the diff of test/replay/histories.`;

describe('today’s workflows act on what was recorded as they did then', () => {
  test.each(names)('%s', async (name) => {
    const problem = await replay(read(name));
    expect(problem, `${problem}\n\n${ADVICE}\n`).toBeUndefined();
  });
});

test('there is a golden history of every workflow type', () => {
  const types = names.map((name) => {
    const [started] = read(name).history.events;
    const attributes = started?.workflowExecutionStartedEventAttributes as { readonly workflowType: { readonly name: string } } | undefined;
    return attributes?.workflowType.name;
  });
  expect([...new Set(types)].sort()).toEqual(
    [
      ...operationNames,
      'archive',
      'keeper',
      'list',
      'listBackups',
      'listKeys',
      'lock',
      'provison',
      'recoveryWindow',
      'scheduledBackup',
      'showBackup',
      'status',
    ].sort(),
  );
});

test('a history in which something else happened is refused: the replay does look', async () => {
  const tampered = JSON.stringify(read('provision-cluster')).replaceAll('"name":"ensureNetwork"', '"name":"ensureVolume"');
  expect(await replay(JSON.parse(tampered) as Golden)).toMatch(/nondeterminism|DeterminismViolation/i);
});

test('no golden history holds the name of a machine, a path or a password', () => {
  for (const name of names) {
    const text = readFileSync(join(folder, `${name}.json`), 'utf8');
    const payloads = [...text.matchAll(/"data": "([^"]*)"/g)].map(([, data = '']) => Buffer.from(data, 'base64').toString());
    for (const part of [text, ...payloads]) expect(part).not.toMatch(/\d+@[a-z]|\/home\/|\/root\/|\/work\/|BEGIN [A-Z ]*PRIVATE KEY/);
  }
});
