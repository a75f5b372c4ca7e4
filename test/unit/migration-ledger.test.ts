import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { keyOfSlot, Ledger, probeWrite } from '../../activities/migration/ledger.ts';
import { type Reply, ServerError, type Word } from '../../activities/redis/protocol.ts';
import type { Wire } from '../../activities/redis/wire.ts';

/** One server that knows SET and GET, and nothing of expiry. @param copies replicas that have what was written */
function server(copies = 1) {
  const data = new Map<string, string>();
  const refusals = new Map<string, string>();
  const answer = ([name, key, value, ...rest]: readonly Word[]): Reply => {
    const refusal = refusals.get(String(key));
    if (refusal !== undefined) return new ServerError(refusal);
    if (name === 'WAIT') return copies;
    if (name === 'INFO') return `role:master\nslave0:ip=10.0.0.2,port=6379,state=online,offset=${copies}\nmaster_repl_offset:1\n`;
    if (name === 'GET') return data.has(String(key)) ? Buffer.from(data.get(String(key)) ?? '') : null;
    if (rest.includes('NX') && data.has(String(key))) return null;
    data.set(String(key), String(value));
    return 'OK';
  };
  const wire = { ask: async (commands: readonly (readonly Word[])[]) => commands.map(answer) } as unknown as Wire;
  return { data, refusals, wire };
}

/** A write of the probe that the cluster has acknowledged. */
async function write(ledger: Ledger, wire: Wire, slot: number): Promise<number> {
  const number = ledger.next();
  await wire.ask([['SET', ...probeWrite(slot, number)]]);
  ledger.acknowledge(slot, number);
  return number;
}

beforeEach(() => void vi.useFakeTimers({ now: new Date('2026-11-21T10:00:00Z') }));
afterEach(() => void vi.useRealTimers());

describe('the ledger', () => {
  test('finds every acknowledged write, or a later one', async () => {
    const [{ wire, data }, ledger] = [server(), new Ledger()];
    await ledger.prepare(wire, [1, 2]);
    const number = await write(ledger, wire, 1);
    data.set(keyOfSlot(1), String(number + 1_000_000));
    expect(await ledger.check(wire, [1, 2])).toEqual([]);
  });

  test('tells which slots have a key more by it: none that had one, and none that took no write', async () => {
    const [{ wire, refusals }, first, second] = [server(), new Ledger(), new Ledger()];
    expect(await first.prepare(wire, [1, 2])).toEqual(new Set([1, 2]));
    expect(await first.prepare(wire, [1, 2])).toEqual(new Set());
    refusals.set(keyOfSlot(4), 'OOM it is full');
    expect(await second.prepare(wire, [2, 3, 4])).toEqual(new Set([3]));
    expect([second.has(2), second.has(4)]).toEqual([true, false]);
  });

  test('that is not copied in time tells of the keys that it has put in all the same', async () => {
    const [{ wire }, ledger] = [server(0), new Ledger(true)];
    expect(await ledger.prepare(wire, [1])).toEqual(new Set([1]));
    expect(ledger.has(1)).toBe(false);
  });

  test('tells a write that is gone, with its slot and time', async () => {
    const [{ wire, data }, ledger] = [server(), new Ledger()];
    await ledger.prepare(wire, [7]);
    const written = await write(ledger, wire, 7);
    data.delete(keyOfSlot(7));
    expect(await ledger.check(wire, [7])).toEqual([{ slot: 7, key: keyOfSlot(7), written, found: null, at: '2026-11-21T10:00:00.000Z' }]);
  });

  test('tells a write in whose place an older one is, also of an earlier attempt', async () => {
    const { wire, data } = server();
    const [first, second] = [new Ledger(), new Ledger()];
    await first.prepare(wire, [7]);
    const old = await write(first, wire, 7);
    second.resume([7], {}, Date.now());
    await vi.advanceTimersByTimeAsync(60_000);
    const written = await write(second, wire, 7);
    data.set(keyOfSlot(7), String(old));
    expect(await second.check(wire, [7])).toMatchObject([{ slot: 7, written, found: old }]);
  });

  test('does not take the writes of two attempts at once for lost', async () => {
    const { wire } = server();
    // Two writers are told apart by three digits: these two must differ.
    vi.spyOn(Math, 'random').mockReturnValueOnce(0.1).mockReturnValueOnce(0.2);
    const [first, second] = [new Ledger(), new Ledger()];
    for (const ledger of [first, second]) await ledger.prepare(wire, [7]);
    const late = first.next();
    await vi.advanceTimersByTimeAsync(50);
    await write(second, wire, 7);
    await wire.ask([['SET', ...probeWrite(7, late)]]); // under way for 50 ms
    expect(await second.check(wire, [7])).toEqual([]);
    expect(await first.check(wire, [7])).toEqual([]);
  });

  test('carries numbers of open slots to the next attempt, and for all others that the key is there', async () => {
    const { wire, data } = server();
    const [first, second] = [new Ledger(), new Ledger()];
    await first.prepare(wire, [1, 2, 3]);
    const number = await write(first, wire, 2);
    expect(first.numbers([1, 2])).toEqual({ 2: number });
    second.resume([1, 2, 3], first.numbers([1, 2]), Date.now());
    expect(await second.check(wire, [1, 2, 3])).toEqual([]);
    data.set(keyOfSlot(2), String(number - 1000));
    data.delete(keyOfSlot(3));
    expect((await second.check(wire, [1, 2, 3])).map(({ slot }) => slot)).toEqual([2, 3]);
  });

  test('holds nobody to what no replica has, where there are replicas', async () => {
    const [with0, with1] = [server(0), server(1)];
    const [lone, copied] = [new Ledger(true), new Ledger(true)];
    await lone.prepare(with0.wire, [1, 2]);
    await copied.prepare(with1.wire, [1, 2]);
    expect([lone.slots(), copied.slots()]).toEqual([[], [1, 2]]);
  });

  test('says nothing of keys that are about to expire', async () => {
    const [{ wire, data }, ledger] = [server(), new Ledger()];
    await ledger.prepare(wire, [1]);
    data.delete(keyOfSlot(1));
    vi.setSystemTime(Date.now() + 6 * 86_400_000);
    expect(await ledger.check(wire, [1])).toHaveLength(1);
    vi.setSystemTime(Date.now() + 86_400_000);
    expect(await ledger.check(wire, [1])).toEqual([]);
  });

  test.each(['ASK 1 10.0.0.2:6379', 'OOM command not allowed', 'MISCONF no', 'NOREPLICAS no'])(
    'leaves out a slot whose owner answers %s',
    async (refusal) => {
      const [{ wire, refusals }, ledger] = [server(), new Ledger()];
      refusals.set(keyOfSlot(1), refusal);
      await ledger.prepare(wire, [1, 2]);
      expect(ledger.slots()).toEqual([2]);
    },
  );
});
