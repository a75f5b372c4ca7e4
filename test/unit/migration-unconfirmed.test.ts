import { createHash } from 'node:crypto';
import calculateSlot from 'cluster-key-slot';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Crew } from '../../activities/migration/crew.ts';
import { keyOfSlot } from '../../activities/migration/ledger.ts';
import type { ConnectedNode } from '../../activities/migration/slot-node.ts';
import { keepUnconfirmed, type Unconfirmed } from '../../activities/migration/unconfirmed.ts';
import { encodeText, RawList, type Reply, ServerError, type Word } from '../../activities/redis/protocol.ts';

// The clock of the test has no hold on this one.
vi.mock('node:timers/promises', () => ({ setTimeout: (ms: number) => new Promise((resolve) => void setTimeout(resolve, ms)) }));
vi.mock('@temporalio/activity', () => ({ log: { warn: () => undefined } }));

const digestOf = (text: string): string => createHash('sha1').update(text).digest('hex');

/** A primary with keys, whose replica has acknowledged so much of its stream. */
function primary(nodeId: string) {
  const data = new Set<string>();
  const stream = { offset: 100, acknowledged: 100, promotedAt: 0, silent: 0, valkey: '' };
  /** Replicas that the cluster knows of: flags, by address. */
  const replicas = new Map([['10.0.0.9', 'slave']]);
  /** What DUMP makes of its keys, where it is not what left. */
  const values = new Map<string, string>();
  /** Names in what was written since it was promoted; undefined when its backlog does not go back so far. */
  const since: { led: readonly string[] | undefined } = { led: [] };
  const imported: number[] = [];
  const removed: string[] = [];
  const answer = ([command, key]: readonly Word[]): Reply => {
    const name = String(key);
    if (command === 'EXISTS') return data.has(name) ? 1 : nodeId === 'source' ? new ServerError('ASK 7 10.0.0.2:6379') : 0;
    if (command === 'ASKING') return 'OK';
    if (command !== 'RESTORE-ASKING') throw new Error(`nobody knows ${String(command)}`);
    if (data.has(name)) return new ServerError('BUSYKEY Target key name already exists.');
    data.add(name);
    return 'OK';
  };
  const info = () =>
    [
      'role:master',
      `slave0:ip=10.0.0.9,port=6379,state=online,offset=${stream.acknowledged},lag=${stream.silent}`,
      'slave1:ip=10.9.9.9,port=0,state=online,offset=0,lag=0',
      `master_replid:stream of ${nodeId}`,
      `master_repl_offset:${stream.offset}`,
      `second_repl_offset:${stream.promotedAt}`,
      ...(stream.valkey === '' ? [] : [`valkey_version:${stream.valkey}`]),
    ].join('\r\n');
  const node = {
    nodeId,
    wire: {
      one: async (command: Word, ...words: readonly Word[]) => {
        if (command === 'EVAL') return void removed.push(...words.slice(2).map(String));
        if (command === 'EVAL_RO')
          return words.slice(2).map((key) => (data.has(String(key)) ? digestOf(values.get(String(key)) ?? `dump of ${String(key)}`) : ''));
        return command === 'CLUSTER'
          ? [...replicas].map(([ip, flags]) => `id ${ip}:6379@16379 ${flags} ${nodeId} 0 0 1 connected`)
          : info();
      },
      ask: async (commands: readonly (readonly Word[])[]) => commands.map(answer),
    },
    writtenSinceItLed: async (names: ReadonlySet<string>, former: string) =>
      since.led === undefined || former !== 'stream of source' ? undefined : new Set(since.led.filter((one) => names.has(one))),
    count: async (slots: readonly number[]) => slots.map(() => data.size),
    importing: async (slots: readonly number[]) => void imported.push(...slots),
  } as unknown as ConnectedNode;
  return { node, data, values, stream, replicas, since, imported, removed };
}

const copies = (...names: readonly string[]): RawList =>
  new RawList(names.length * 3, Buffer.from(names.map((name) => [name, '0', `dump of ${name}`].map(encodeText).join('')).join('')));

let source: ReturnType<typeof primary>;
let destination: ReturnType<typeof primary>;
let replica: ReturnType<typeof primary>;
let leads: Map<number, ConnectedNode>;
let unconfirmed: Unconfirmed;
/** Whether the ledger has written to every slot, and whether another attempt has taken over. */
let [known, over] = [true, false];
const way = { from: 0, sourceId: 'source', to: 3, destinationId: 'destination' };

beforeEach(() => {
  vi.useFakeTimers();
  [source, destination, replica] = [primary('source'), primary('destination'), primary('replica')];
  leads = new Map([
    [0, source.node],
    [3, destination.node],
  ]);
  const crew = { primary: (shard: number) => leads.get(shard), addresses: () => new Set(['10.0.0.9']) } as unknown as Crew;
  [known, over] = [true, false];
  unconfirmed = keepUnconfirmed('demo', crew, { has: () => known }, () => over);
});
afterEach(() => {
  unconfirmed.end();
  vi.useRealTimers();
});
const failOver = (promotedAt: number) => {
  replica.stream.promotedAt = promotedAt;
  leads.set(3, replica.node);
};

describe('keys that a destination has taken', () => {
  test('are put back on the promoted node when its stream had not got to them', async () => {
    destination.stream.offset = 900;
    unconfirmed.keep(way, copies('a', 'b'));
    await vi.advanceTimersByTimeAsync(100);
    failOver(500);
    await unconfirmed.settle();
    expect([...replica.data]).toEqual(['a', 'b']);
    expect(replica.imported).toEqual([calculateSlot('a'), calculateSlot('b')]);
  });

  test('are not, when it had: somebody may have deleted them since', async () => {
    destination.stream.offset = 400;
    unconfirmed.keep(way, copies('a'));
    await vi.advanceTimersByTimeAsync(100);
    failOver(500);
    await unconfirmed.settle();
    expect([...replica.data]).toEqual([]);
  });

  test('are forgotten once the replica has acknowledged them, whoever else reads the stream', async () => {
    unconfirmed.keep(way, copies('a'));
    expect(unconfirmed.any).toBe(true);
    await vi.advanceTimersByTimeAsync(100);
    expect(unconfirmed.any).toBe(false);
    failOver(1);
    await unconfirmed.settle();
    expect([...replica.data]).toEqual([]);
  });

  test('are removed from a promoted source that has them still, when its replica was behind; but not what clients have written there', async () => {
    source.stream.offset = 900;
    unconfirmed.keep(way, copies('a', 'b'));
    await vi.advanceTimersByTimeAsync(1000);
    expect(unconfirmed.any, 'the destination has them, and so does the replica of the source').toBe(true);
    destination.data.add('a');
    for (const name of ['a', 'b']) replica.data.add(name);
    leads.set(0, replica.node);
    await unconfirmed.settle();
    expect(replica.removed).toEqual(['a', digestOf('dump of a')]);
  });

  describe('and the promoted source has, too', () => {
    beforeEach(async () => {
      source.stream.offset = 900;
      unconfirmed.keep(way, copies('a', 'b'));
      await vi.advanceTimersByTimeAsync(100);
      for (const name of ['a', 'b']) {
        destination.data.add(name);
        replica.data.add(name);
      }
      replica.values.set('a', 'older');
      leads.set(0, replica.node);
    });

    test('are removed there, also with another value, when nothing was written to them since it leads', async () => {
      await unconfirmed.settle();
      expect(replica.removed).toEqual(['a', digestOf('older'), 'b', digestOf('dump of b')]);
    });

    test('stay when something was', async () => {
      replica.since.led = ['a', 'c'];
      await unconfirmed.settle();
      expect(replica.removed).toEqual(['b', digestOf('dump of b')]);
    });

    test('stay where its backlog does not tell, but for what is as it left', async () => {
      replica.since.led = undefined;
      await unconfirmed.settle();
      expect(replica.removed).toEqual(['b', digestOf('dump of b')]);
    });
  });

  test('are kept while a replica of the source that does not follow may lead, until their slots are handed over', async () => {
    source.replicas.set('10.0.0.8', 'slave');
    unconfirmed.keep(way, copies('a'));
    await vi.advanceTimersByTimeAsync(1000);
    expect(unconfirmed.any).toBe(true);
    unconfirmed.handedOver(way);
    await vi.advanceTimersByTimeAsync(100);
    expect(unconfirmed.any).toBe(false);
  });

  test('are not kept for a replica of the source that has failed', async () => {
    source.replicas.set('10.0.0.8', 'slave,fail');
    unconfirmed.keep(way, copies('a'));
    await vi.advanceTimersByTimeAsync(100);
    expect(unconfirmed.any).toBe(false);
  });

  test('are forgotten once their slots were handed over, however far behind the replica of the source is', async () => {
    source.stream.offset = 900;
    unconfirmed.keep(way, copies('a'));
    unconfirmed.handedOver(way);
    await vi.advanceTimersByTimeAsync(100);
    expect(unconfirmed.any).toBe(false);
  });

  test('are put back when nobody knows how far the stream had got', async () => {
    unconfirmed.keep(way, copies('a'));
    failOver(500);
    await unconfirmed.settle();
    expect([...replica.data]).toEqual(['a']);
  });

  test('stay out when they are at the source still, and do not replace what is there', async () => {
    source.data.add('still');
    replica.data.add('there');
    unconfirmed.keep(way, copies('still', 'there', 'gone'));
    failOver(1);
    await unconfirmed.settle();
    expect([...replica.data]).toEqual(['there', 'gone']);
  });

  test('are put back again when the promoted node dies, too', async () => {
    unconfirmed.keep(way, copies('a'));
    failOver(1);
    await unconfirmed.settle();
    const second = primary('second');
    leads.set(3, second.node);
    expect(await unconfirmed.settled(3)).toBe(second.node);
    expect([...second.data]).toEqual(['a']);
  });
});

describe('who wants it to end', () => {
  const drained = async (withinMs: number, heardWithinMs?: number) => {
    const begun = Date.now();
    let ended = 0;
    void unconfirmed.drained(withinMs, heardWithinMs).then(() => {
      ended = Date.now() - begun;
    });
    for (let i = 0; i < 200 && ended === 0; i++) await vi.advanceTimersByTimeAsync(100);
    return { ended, any: unconfirmed.any };
  };

  test('waits until a replica that is behind has everything', async () => {
    destination.stream.offset = 900;
    unconfirmed.keep(way, copies('a'));
    setTimeout(() => {
      destination.stream.acknowledged = 900;
    }, 8000);
    const { ended, any } = await drained(60_000, 3500);
    expect(any).toBe(false);
    expect(Math.round(ended / 1000)).toBe(8);
  });

  test('does not wait for it for ever', async () => {
    destination.stream.offset = 900;
    unconfirmed.keep(way, copies('a'));
    const { ended, any } = await drained(10_000, 3500);
    expect(any).toBe(true);
    expect(Math.round(ended / 1000)).toBe(10);
  });

  test('waits no longer for a replica that has everything, and has been silent since it was to hear whose the slots are', async () => {
    destination.stream.valkey = '9.1.2';
    destination.stream.silent = 4;
    unconfirmed.keep(way, copies('a'));
    const { ended, any } = await drained(60_000, 3500);
    expect(any).toBe(false);
    expect(Math.round(ended / 100)).toBeCloseTo(35, -1);
  });
});

test('an attempt that is over puts nothing back: another does its work', async () => {
  unconfirmed.keep(way, copies('a'));
  over = true;
  failOver(1);
  await unconfirmed.settle();
  expect([...replica.data]).toEqual([]);
});

describe('where a promoted replica clears slots that it takes for those of others', () => {
  beforeEach(() => {
    for (const { stream } of [destination, replica]) stream.valkey = '9.1.2';
  });
  const acknowledge = async () => {
    unconfirmed.keep(way, copies('a'));
    await vi.advanceTimersByTimeAsync(100);
    return () => {
      failOver(500);
      return unconfirmed.settle();
    };
  };

  test('keys that it had are put back in a slot that is empty', async () => {
    const settle = await acknowledge();
    await settle();
    expect([...replica.data]).toEqual(['a']);
  });

  test('also where nobody put a key of the ledger in; but not into one that is not empty', async () => {
    known = false;
    await (await acknowledge())();
    expect([...replica.data]).toEqual(['a']);
    replica.data.delete('a');
    replica.data.add('newer');
    leads.set(3, destination.node);
    await (await acknowledge())();
    expect([...replica.data]).toEqual(['newer']);
  });

  test('and when clients have written into it since', async () => {
    replica.data.add('newer');
    const settle = await acknowledge();
    await settle();
    expect([...replica.data]).toEqual(['newer', 'a']);
  });

  test('not when the key of the ledger is there: then clients have deleted the others', async () => {
    replica.data.add(keyOfSlot(calculateSlot('a')));
    const settle = await acknowledge();
    await settle();
    expect([...replica.data]).toEqual([keyOfSlot(calculateSlot('a'))]);
  });

  test('they are forgotten some seconds after their slots were handed over, and not before', async () => {
    const settle = await acknowledge();
    unconfirmed.handedOver(way);
    await vi.advanceTimersByTimeAsync(3200);
    await settle();
    expect([...replica.data]).toEqual([]);
  });

  test('not by a replica that has been silent since', async () => {
    const settle = await acknowledge();
    unconfirmed.handedOver(way);
    destination.stream.silent = 4;
    await vi.advanceTimersByTimeAsync(3200);
    await settle();
    expect([...replica.data]).toEqual(['a']);
  });
});
