import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findEngineVersion } from '../config/engines.ts';
import { WORKFLOW_TASK_QUEUE } from '../config/names.ts';
import { sweep, testSpec, uniqueName } from '../test/support/clusters.ts';
import { type Stack, startStack } from '../test/support/stack.ts';
import { overheadOf } from './history.ts';
import { benchKeepers } from './keepers.ts';
import { median, table, timed } from './measure.ts';

const exec = promisify(execFile);
const ROUNDS = 5;

/** 3 + 3 nodes with TLS: the whole operation against a plain script, interleaved in one run. Then what 200 keepers cost a worker. */
export async function benchProvision(): Promise<void> {
  const stack = await startStack();
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'));
  const times: Record<'holdfast' | 'script' | 'parallel script', number[]> = { holdfast: [], script: [], 'parallel script': [] };
  const overheads: number[] = [];
  let events = 0;
  try {
    await holdfast(stack); // the first one warms the worker and the engine; it is not counted
    for (let round = 0; round < ROUNDS; round++) {
      const ours = await holdfast(stack);
      times.holdfast.push(ours.tookMs);
      overheads.push(ours.idleMs);
      events = ours.events;
      times.script.push(await script(folder, false));
      times['parallel script'].push(await script(folder, true));
      process.stderr.write(
        `round ${round + 1} of ${ROUNDS}: holdfast ${s(ours.tookMs)}, script ${s(times.script.at(-1) ?? 0)}, parallel script ${s(times['parallel script'].at(-1) ?? 0)}\n`,
      );
    }
  } finally {
    await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  const base = median(times.script);
  const row = (name: keyof typeof times) => [
    name,
    s(median(times[name])),
    s(Math.min(...times[name])),
    s(Math.max(...times[name])),
    (median(times[name]) / base).toFixed(2),
  ];
  console.log(`\nprovision, 3 + 3 nodes, Valkey 9.1, TLS on, ${ROUNDS} rounds interleaved; from nothing to verified\n`);
  console.log(table([['', 'median', 'min', 'max', 'of script'], row('holdfast'), row('script'), row('parallel script')]));
  console.log(`\ntarget: holdfast at most 1.2 of script: ${median(times.holdfast) / base <= 1.2 ? 'met' : 'MISSED'}`);
  console.log(
    `own overhead (no activity ran): median ${Math.round(median(overheads))} ms of ${s(median(times.holdfast))}; ${events} history events\n`,
  );
  await benchKeepers();
}

const s = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;

async function holdfast(stack: Stack) {
  const name = uniqueName('b');
  const workflowId = `bench/${name}`;
  const run = (type: string, id: string, input: unknown) =>
    stack.client.workflow.execute(type, { taskQueue: WORKFLOW_TASK_QUEUE, workflowId: id, args: [input] });
  try {
    const tookMs = await timed(() => run('provision', workflowId, { spec: testSpec(name) }));
    return { tookMs, ...(await overheadOf(stack.client, workflowId)) };
  } finally {
    await run('deprovision', `bench/${name}/gone`, { cluster: name, confirm: name, force: true }).catch(() =>
      sweep(stack.dependencies.docker, name),
    );
  }
}

let subnets = 0;

async function script(folder: string, parallel: boolean): Promise<number> {
  const engine = findEngineVersion('valkey', '9.1');
  if (engine === undefined) throw new Error('valkey 9.1 is not in the catalogue');
  const name = uniqueName('hfbench');
  const args = [join(import.meta.dirname, 'plain-script.sh'), name, engine.image, engine.server, engine.cli, `10.215.${++subnets}`, folder];
  try {
    return await timed(() => exec('bash', args, { env: { ...process.env, PARALLEL: parallel ? '1' : '0' } }));
  } finally {
    const { stdout } = await exec('docker', ['ps', '-aq', '--filter', `label=holdfast.bench=${name}`]);
    const ids = stdout.split('\n').filter((id) => id !== '');
    if (ids.length > 0) await exec('docker', ['rm', '-f', ...ids]);
    await exec('docker', ['network', 'rm', name]).catch(() => undefined); // the script may have failed before it made one
  }
}
