import { describe, expect, test } from 'vitest';
import { awaitNoJobs, findNativeCommands, moveNatively, type NativeJobs } from '../../activities/migration/native.ts';
import type { Wire } from '../../activities/redis/wire.ts';
import type { SlotRange } from '../../model/slots.ts';
import { createNativeServer, type Fate } from './migration-native-servers.ts';

const other = { wire: undefined as unknown as Wire, nodeId: 'b'.repeat(40) };
/** Each server is asked by itself: with Valkey the one that gives slots, with Redis the one that takes them. */
const kinds = ['valkey', 'redis'] as const;

/** What becomes of one job. @param stopAfter looks after which it shall stop */
async function moveBy(kind: 'valkey' | 'redis', fate: Fate, stopAfter = Number.POSITIVE_INFINITY, looks?: number) {
  const server = createNativeServer(kind, [fate], looks);
  const jobs: NativeJobs = { running: 0, taken: false };
  const self = { wire: server.wire, nodeId: 'a'.repeat(40) };
  const [source, destination] = kind === 'valkey' ? [self, other] : [other, self];
  let looked = 0;
  let most = 0;
  const stop = () => {
    most = Math.max(most, jobs.running);
    return looked++ >= stopAfter;
  };
  const ranges: readonly SlotRange[] = [
    [0, 3],
    [9, 9],
  ];
  const end = await moveNatively(kind, { source, destination, ranges }, stop, jobs);
  return { end, jobs, most, asked: server.asked };
}

describe.each(kinds)('slots that servers move by themselves (%s)', (kind) => {
  test('are asked for by their ranges, and have moved when the job has ended well', async () => {
    const { end, jobs, most, asked } = await moveBy(kind, 'success');
    expect(end).toEqual({ end: 'done' });
    expect(asked).toContain(
      kind === 'valkey' ? `CLUSTER MIGRATESLOTS SLOTSRANGE 0 3 9 9 NODE ${other.nodeId}` : 'CLUSTER MIGRATION IMPORT 0 3 9 9',
    );
    expect(most).toBe(1);
    expect(jobs).toEqual({ running: 0, taken: true });
  });

  test('have not moved when the server refuses, and then it has taken nothing', async () => {
    const { end, jobs } = await moveBy(kind, 'refused');
    expect(end).toEqual({ end: 'refused', why: 'ERR not today' });
    expect(jobs).toEqual({ running: 0, taken: false });
  });

  test('have not moved when the job has failed: it was taken, however soon that was, and nothing is tried again', async () => {
    const { end, jobs, asked } = await moveBy(kind, 'failed', undefined, 0);
    expect(end).toEqual({ end: 'failed', why: 'the link broke' });
    expect(jobs).toEqual({ running: 0, taken: true });
    expect(asked.filter((command) => command.includes('CANCEL'))).toEqual(kind === 'valkey' ? [] : ['CLUSTER MIGRATION CANCEL ID job 1']);
  });

  test('have not moved when somebody else has cancelled the job', async () => {
    expect((await moveBy(kind, 'cancelled')).end).toEqual({ end: 'cancelled' });
  });

  test('count as failed when the server does not know the job any more', async () => {
    const { end, jobs } = await moveBy(kind, 'forgotten');
    expect(end).toEqual({ end: 'failed', why: expect.stringMatching(/^the server does not know the (job|task) any more$/) });
    expect(jobs.taken).toBe(true);
  });

  test('stay where they are when it shall stop in the middle: the job is cancelled, once', async () => {
    const { end, asked } = await moveBy(kind, 'success', 1, 50);
    expect(end).toEqual({ end: 'cancelled' });
    expect(asked.filter((command) => command.includes('CANCEL'))).toEqual([
      kind === 'valkey' ? 'CLUSTER CANCELSLOTMIGRATIONS' : 'CLUSTER MIGRATION CANCEL ID job 1',
    ]);
  });

  test('have moved when the job ends in the moment in which it shall stop', async () => {
    const server = createNativeServer(kind, ['success'], 0);
    const self = { wire: server.wire, nodeId: 'a'.repeat(40) };
    const job = { source: self, destination: self, ranges: [[0, 3] as const] };
    expect(await moveNatively(kind, job, () => true, { running: 0, taken: false })).toEqual({ end: 'done' });
  });

  test('wait for a job that somebody has left, and tell that it was waited for', async () => {
    const server = createNativeServer(kind);
    expect(await awaitNoJobs(kind, server.wire, () => false)).toEqual({ waited: false });
    server.busy(3);
    expect(await awaitNoJobs(kind, server.wire, () => false)).toEqual({ waited: true });
    expect(server.asked.filter((command) => command.includes('CANCEL'))).toEqual([]);
  });

  test('do not wait for it when it shall stop: it is cancelled, whosever it is', async () => {
    const server = createNativeServer(kind);
    server.busy(1_000_000);
    expect(await awaitNoJobs(kind, server.wire, () => true)).toEqual({ waited: true });
    expect(server.asked.filter((command) => command.includes('CANCEL'))).toEqual([
      kind === 'valkey' ? 'CLUSTER CANCELSLOTMIGRATIONS' : 'CLUSTER MIGRATION CANCEL ALL',
    ]);
  });

  test('are known by the commands that a server has', async () => {
    expect(await findNativeCommands(createNativeServer(kind).wire)).toBe(kind);
  });
});

test.each([[[null, null]], [[[], []]], ['no list']])('a server that answers %j has none of these commands', async (reply) => {
  expect(await findNativeCommands({ one: async () => reply } as unknown as Wire)).toBeUndefined();
});

test('a job by which a Valkey server takes slots is not taken for the one by which they leave', async () => {
  const job = (name: string, operation: string, state: string) =>
    Object.entries({ name, operation, state, message: 'it broke' }).flatMap((field) => field.map((text) => Buffer.from(text)));
  const looks = [[], [job('1', 'IMPORT', 'success'), job('2', 'EXPORT', 'failed')]];
  const wire = { ask: async () => ['OK'], one: async () => looks.shift() } as unknown as Wire;
  const node = { wire, nodeId: 'a' };
  const ends = moveNatively('valkey', { source: node, destination: node, ranges: [[0, 1]] }, () => false, { running: 0, taken: false });
  expect(await ends).toEqual({ end: 'failed', why: 'it broke' });
});
