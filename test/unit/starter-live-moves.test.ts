import { type Client, WorkflowNotFoundError, WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure, defaultDataConverter, type Payload, type PayloadCodec } from '@temporalio/common';
import { describe, expect, test } from 'vitest';
import type { MoveHeartbeat, MoveLimitsChange, MoveProgress } from '../../config/migration.ts';
import type { Plan, Progress } from '../../config/progress.ts';
import { Holdfast, InvalidInput, OperationNotFound, RequestRefused } from '../../starter/client/index.ts';
import { createMoveMemory, mayMoveSlots, newestMove, withMove } from '../../starter/client/live-moves.ts';

const move = (slots: number): MoveProgress => ({
  state: 'moving',
  strategy: 'pipelined',
  slots,
  slotsTotal: 1365,
  keys: 10,
  keysTotal: 100,
  bytes: 1,
  bytesTotal: 2,
  keysPerSecond: 5,
  latency: { samples: 1, p50: 0, p99: 1, p999: 0, max: 1 },
  pairs: [],
});
const plan: Plan = {
  summary: 'Scale demo.',
  steps: [{ name: 'move slots', change: '1365 slots' }],
  refusals: [],
  moves: [{ from: 0, to: 3, ranges: '0-1364', slots: 1365, keys: 100, bytes: 2, estimatedMs: 1000 }],
};
const progress: Progress = {
  operation: 'scale',
  cluster: 'demo',
  stage: 'act',
  paused: false,
  plan,
  steps: [
    { name: 'start demo-3-0', state: 'done' },
    { name: 'move slots', state: 'running', done: 1, total: 2, unit: 'things' },
    { name: 'verify', state: 'waiting' },
  ],
  warnings: [],
};

const { payloadConverter } = defaultDataConverter;
const payloadOf = (value: unknown): Payload => payloadConverter.toPayload(value);
/** A pending activity as DescribeWorkflowExecution has it. */
const pending = (type: string, seconds: number, beat?: MoveHeartbeat | undefined, encode: (payload: Payload) => Payload = (p) => p) => ({
  activityType: { name: type },
  lastHeartbeatTime: { seconds, nanos: 5 },
  heartbeatDetails: { payloads: [encode(payloadOf(beat))] },
});
const beat = (slots: number): MoveHeartbeat => ({ progress: move(slots), resume: { large: 'x' } });

describe('the newest heartbeat of a move', () => {
  test('is that of the activity that moves slots, whatever else is pending', async () => {
    const all = [pending('moveSlots', 10, beat(5)), pending('ensureNode', 30, beat(9)), pending('moveSlots', 20, beat(7))];
    expect(await newestMove(all, defaultDataConverter)).toEqual(move(7));
  });

  test.each([
    ['nothing is pending', []],
    ['the server tells nothing', undefined],
    ['another activity runs', [pending('ensureNode', 1, beat(1))]],
    ['it has not beaten yet', [{ activityType: { name: 'moveSlots' } }]],
    ['it has beaten, but has nothing to tell', [pending('moveSlots', 1, undefined)]],
  ])('is unknown when %s', async (_, all) => {
    expect(await newestMove(all, defaultDataConverter)).toBeUndefined();
  });

  test('is read through the codecs of the client, the last one first', async () => {
    const codec = (name: string): PayloadCodec => {
      const change = (payload: Payload, add: number) => ({
        ...payload,
        data: (payload.data ?? new Uint8Array()).map((byte) => (byte + add) & 255),
      });
      return {
        encode: async (payloads) =>
          payloads.map((payload) => ({ ...change(payload, 1), metadata: { ...payload.metadata, [name]: new Uint8Array() } })),
        decode: async (payloads) =>
          payloads.map((payload) => {
            const names = Object.keys(payload.metadata ?? {});
            if (names.at(-1) !== name) throw new Error(`${name} is not the outermost of ${names}`);
            const { [name]: __, ...metadata } = payload.metadata ?? {};
            return { ...change(payload, -1), metadata };
          }),
      };
    };
    const payloadCodecs = [codec('inner'), codec('outer')];
    let encoded = [payloadOf(beat(3))];
    for (const one of payloadCodecs) encoded = await one.encode(encoded);
    const all = [{ ...pending('moveSlots', 1), heartbeatDetails: { payloads: encoded } }];
    expect(await newestMove(all, { payloadConverter, payloadCodecs })).toEqual(move(3));
  });
});

describe('the progress of a move', () => {
  test('stands in the step that runs, with its bar over slots', () => {
    const steps = withMove(progress, move(512)).steps;
    expect(steps[1]).toEqual({ name: 'move slots', state: 'running', done: 512, total: 1365, unit: 'slots', move: move(512) });
    expect([steps[0], steps[2]]).toEqual([progress.steps[0], progress.steps[2]]);
  });

  test('never falls back while nothing beats, between two activities of one move', () => {
    const recall = createMoveMemory();
    const told = withMove(progress, move(400));
    expect(recall(told, undefined)).toEqual(told);
    expect(recall(told, move(600)).steps[1]?.move?.slots).toBe(600);
    expect(recall(told, undefined).steps[1]).toMatchObject({ done: 600, move: { slots: 600, state: 'moving' } });
    const paused = recall({ ...told, paused: true }, undefined).steps[1]?.move;
    expect(paused).toEqual({ ...move(600), state: 'held', why: 'paused', keysPerSecond: 0 });
    const later = withMove(progress, move(700));
    expect(recall(later, undefined)).toEqual(later);
  });

  test('is not taken for that of the step after it', () => {
    const recall = createMoveMemory();
    recall(progress, move(600));
    const next: Progress = {
      ...progress,
      steps: [
        { name: 'move slots', state: 'done' },
        { name: 'verify', state: 'running' },
      ],
    };
    expect(recall(next, undefined)).toBe(next);
  });

  test.each([
    [progress, true],
    [{ ...progress, stage: 'undo' as const }, true],
    [{ ...progress, stage: 'verify' as const }, false],
    [{ ...progress, plan: { ...plan, moves: [] } }, false],
    [{ ...progress, steps: [{ name: 'move slots', state: 'waiting' as const }] }, false],
  ])('is looked for only where slots may be moving: case %#', (now, so) => {
    expect(mayMoveSlots(now)).toBe(so);
  });
});

/** A client of a Temporal that has one operation. */
function temporalWith(workflow: Readonly<Record<string, unknown>>) {
  const handle = { workflowId: 'cluster/demo/scale/1', query: async () => progress, ...workflow };
  const within = (_: unknown, run: () => unknown) => run();
  return new Holdfast({
    options: { namespace: 'default', loadedDataConverter: defaultDataConverter },
    withDeadline: within,
    withAbortSignal: within,
    workflow: { getHandle: () => handle },
  } as unknown as Client);
}
const attach = (holdfast: Holdfast) => holdfast.operations.attach('cluster/demo/scale/1');
const description = (pendingActivities: readonly unknown[]) => ({
  workflowId: 'cluster/demo/scale/1',
  runId: 'r',
  type: 'scale',
  status: { name: 'RUNNING' },
  startTime: new Date(0),
  raw: { pendingActivities },
});

describe('the handle of an operation', () => {
  test('tells how far the move is as its heartbeats say', async () => {
    const operation = await attach(temporalWith({ describe: async () => description([pending('moveSlots', 1, beat(600))]) }));
    expect((await operation.progress()).steps[1]).toMatchObject({ done: 600, total: 1365, unit: 'slots', move: { slots: 600 } });
  });

  test('goes on watching when the heartbeats cannot be had or read', async () => {
    let calls = 0;
    const ends = Promise.withResolvers<object>();
    const operation = await attach(
      temporalWith({
        result: () => ends.promise,
        describe: async () => {
          calls++;
          if (calls === 1) return description([]); // for attach
          if (calls === 2) throw new Error('14 UNAVAILABLE');
          ends.resolve({});
          const broken = { metadata: { encoding: Buffer.from('json/plain') }, data: Buffer.from('{') };
          return description([{ ...pending('moveSlots', 1), heartbeatDetails: { payloads: [broken] } }]);
        },
      }),
    );
    const seen: Progress[] = [];
    for await (const now of operation.watch({ everyMs: 1 })) seen.push(now);
    expect(seen).toEqual([progress]);
    expect(calls).toBeGreaterThan(2);
  });

  test('changes limits by the update of that name, with those that are named', async () => {
    const sent: unknown[] = [];
    const operation = await attach(
      temporalWith({
        describe: async () => description([]),
        executeUpdate: async (name: string, { args }: { args: readonly unknown[] }) => void sent.push([name, ...args]),
      }),
    );
    await operation.setLimits({ probeP99Ms: 20, pairs: 2 });
    expect(sent).toEqual([['limits', { probeP99Ms: 20, pairs: 2 }]]);
  });

  test.each([
    [{}, /name at least one limit/],
    [{ probeP99Ms: 0 }, /probeP99Ms/],
    [{ probep99: 20 }, /probep99/],
    [{ pairs: '2' }, /pairs/],
  ])('refuses limits that cannot be, before anything is sent: %j', async (change, why) => {
    const operation = await attach(temporalWith({ describe: async () => description([]) }));
    const refused = operation.setLimits(change as MoveLimitsChange);
    await expect(refused).rejects.toThrow(InvalidInput);
    await expect(refused).rejects.toThrow(why);
  });

  test.each([
    [
      new WorkflowNotFoundError('workflow execution already completed', 'cluster/demo/scale/1', 'r'),
      OperationNotFound,
      /has ended already/,
    ],
    [
      new WorkflowUpdateFailedError('Workflow Update failed', ApplicationFailure.nonRetryable('this operation moves no slots')),
      RequestRefused,
      /moves no slots/,
    ],
  ])('says why an operation does not take new limits: %s', async (error, kind, why) => {
    const executeUpdate = async () => {
      throw error;
    };
    const operation = await attach(temporalWith({ describe: async () => description([]), executeUpdate }));
    const refused = operation.setLimits({ pairs: 2 });
    await expect(refused).rejects.toThrow(kind);
    await expect(refused).rejects.toThrow(why);
  });
});
