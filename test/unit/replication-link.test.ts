import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { followStream } from '../../activities/replication/follow-stream.ts';
import { handshake, resumeAt } from '../../activities/replication/handshake.ts';
import { ReplicationLost } from '../../activities/replication/link.ts';
import { ReplicationNotNow } from '../../activities/replication/refusal.ts';
import type { Stretch } from '../../activities/replication/stretch.ts';
import { until } from '../support/processes.ts';
import { type Behaviour, startPrimary } from './replication-server.ts';
import { command } from './replication-streams.ts';

const [id, otherId] = ['a'.repeat(40), 'b'.repeat(40)];
const rdb = `REDIS0011${'x'.repeat(100_000)}`;
const mark = '0123456789'.repeat(4);

let close: (() => void) | undefined;
afterEach(() => close?.());
async function primary(behave: Behaviour) {
  const started = await startPrimary(behave);
  close = started.close;
  return started;
}
const onPsync =
  (answer: string, after: (socket: Parameters<Behaviour>[1]) => void = () => undefined): Behaviour =>
  ([name], socket) => {
    if (name !== 'PSYNC') return undefined;
    setImmediate(after, socket);
    return answer;
  };
async function readAll(parts: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const part of parts) all.push(part);
  return Buffer.concat(all);
}

describe('a handshake', () => {
  test('says what a replica says, and understands line feeds before the answer', async () => {
    const { target, seen } = await primary(
      onPsync(`\n\n+FULLRESYNC ${id} 42`, (socket) => socket.write(`\n$EOF:${mark}\r\n${rdb}${mark}rest`)),
    );
    const synced = await handshake(target);
    expect(synced).toMatchObject({ how: 'full', replid: id, offset: 42 });
    expect(seen).toEqual(['AUTH replication secret', 'PING', 'REPLCONF listening-port 0', 'REPLCONF capa eof capa psync2', 'PSYNC ? -1']);
    if (synced.how !== 'full') return;
    expect((await readAll(synced.rdb)).toString() === rdb).toBe(true);
    expect(synced.rdb).toMatchObject({ complete: true, bytes: rdb.length, header: { formatVersion: 11 } });
    expect(String(await synced.link.read(100))).toBe('rest');
  });

  test('for an RDB alone does without the server knowing that, and closes at its end', async () => {
    const unknown = ([name, option]: readonly string[]) =>
      name === 'REPLCONF' && (option === 'rdb-only' || option === 'version') ? `-ERR Unrecognized REPLCONF option: ${option}` : undefined;
    const sync = onPsync(`+FULLRESYNC ${id} 42`, (socket) => socket.write(`$${rdb.length}\r\n${rdb}*1\r\n`));
    const { target, seen } = await primary((words, socket) => unknown(words) ?? sync(words, socket));
    const synced = await handshake(target, { rdbOnly: true });
    expect(seen).toContain('REPLCONF rdb-only 1');
    if (synced.how !== 'full') throw new Error(synced.how);
    expect((await readAll(synced.rdb)).length).toBe(rdb.length);
    await expect(synced.link.read(100)).rejects.toThrow(ReplicationLost);
  });

  test('goes on where it is asked to, and tells another name of the stream', async () => {
    const answers = ['+CONTINUE', `+CONTINUE ${id}`, `+CONTINUE ${otherId}`];
    const { target, seen } = await primary(([name]) => (name === 'PSYNC' ? answers.shift() : undefined));
    for (const [replid, renamed] of [
      [id, false],
      [id, false],
      [otherId, true],
    ] as const)
      expect(await resumeAt(target, { replid: id, offset: 99, db: 3 })).toMatchObject({
        how: 'continue',
        replid,
        offset: 99,
        db: 3,
        renamed,
      });
    expect(seen).toContain(`PSYNC ${id} 100`);
  });

  test.each<[string, string, string]>([
    ['PSYNC', "-NOMASTERLINK Can't SYNC while not connected with my master", 'passes'],
    ['PSYNC', "-ERR -NOMASTERLINK Can't SYNC while failing over", 'passes'],
    ['PING', '-LOADING Redis is loading the dataset in memory', 'passes'],
    ['PING', "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", 'passes'],
    ['AUTH', '-WRONGPASS invalid username-password pair or user is disabled.', 'is final'],
    ['PSYNC', "-NOPERM User replication has no permissions to run the 'psync' command", 'is final'],
    ['PSYNC', '-ERR unknown command', 'is final'],
    ['PSYNC', '+CONTINUE', 'is final'],
    ['PSYNC', '+FULLRESYNC short 1', 'is final'],
    ['PSYNC', 'HTTP/1.1 400 Bad Request', 'is final'],
  ])('that is answered at %s with "%s" fails in a way that %s', async (at, answer, how) => {
    const { target } = await primary(([name]) => (name === at ? answer : undefined));
    const error = await handshake(target).catch((problem: unknown) => problem);
    if (how === 'passes') expect(error).toBeInstanceOf(ReplicationNotNow);
    else expect(error).toMatchObject({ type: 'EngineRefused', nonRetryable: true });
    expect(String(error)).toMatch(/Next: |ask again/);
    expect(String(error)).toContain(answer.replace(/^[-+]/, ''));
  });

  test('passes when nobody is there, and when the answer does not come', async () => {
    await expect(handshake({ address: '127.0.0.1', port: 1, user: '', password: '' })).rejects.toThrow(ReplicationLost);
    const { target } = await primary(() => undefined);
    await expect(handshake(target, { stallMs: 50 })).rejects.toThrow('did not answer PSYNC within 50 ms');
  });

  test('ends when it is cancelled, for the reason that was given', async () => {
    const { target, seen } = await primary(() => undefined);
    const cancel = new AbortController();
    const asked = handshake(target, { signal: cancel.signal });
    await until('it asks', async () => seen.includes('PSYNC ? -1'));
    cancel.abort(new Error('enough'));
    await expect(asked).rejects.toThrow('enough');
    await expect(handshake(target, { signal: cancel.signal })).rejects.toThrow('enough');
  });
});

describe('an RDB', () => {
  test.each<[string, (socket: Parameters<Behaviour>[1]) => void, RegExp]>([
    ['breaks off', (socket) => socket.end(`$EOF:${mark}\r\n${rdb}${mark.slice(1)}`), /broke off after \d+ bytes.*begin anew/],
    ['is shorter than was told', (socket) => socket.end(`$${rdb.length + 1}\r\n${rdb}`), /broke off after 100009 bytes/],
    ['never begins', (socket) => socket.end('\n\n'), /broke off after 0 bytes/],
    ['stalls', (socket) => socket.write(`$EOF:${mark}\r\n${rdb}`), /nothing came for 100 ms/],
  ])('that %s is an error that passes, never a short RDB', async (_, send, message) => {
    const { target } = await primary(onPsync(`+FULLRESYNC ${id} 0`, send));
    const synced = await handshake(target, { stallMs: 100 });
    if (synced.how !== 'full') throw new Error(synced.how);
    const error = await readAll(synced.rdb).catch((problem: unknown) => problem);
    expect(error).toBeInstanceOf(ReplicationLost);
    expect(String(error)).toMatch(message);
    expect(synced.rdb.complete).toBe(false);
    expect(() => followStream(synced)).toThrow('must be read to its end');
  });

  test('that the server cannot make, or that is none, is told in its words', async () => {
    const sent = ["-ERR BGSAVE failed, replication can't continue\r\n", `$9\r\nNOT-REDIS`];
    const { target } = await primary(onPsync(`+FULLRESYNC ${id} 0`, (socket) => socket.write(sent.shift() ?? '')));
    const read = async () => {
      const synced = await handshake(target);
      return synced.how === 'full' ? readAll(synced.rdb) : undefined;
    };
    await expect(read()).rejects.toThrow(ReplicationNotNow);
    await expect(read()).rejects.toMatchObject({ type: 'EngineRefused', message: expect.stringContaining('is no RDB') });
  });

  test('waits for a slow reader without filling memory', async () => {
    const size = 64 << 20;
    let sent = 0;
    const { target } = await primary(
      onPsync(`+FULLRESYNC ${id} 0`, (socket) => {
        socket.write(`$${size}\r\nREDIS0011`);
        sent = 9;
        const more = () => {
          while (sent < size) {
            const part = Buffer.alloc(Math.min(1 << 16, size - sent), 'x');
            sent += part.length;
            if (!socket.write(part)) return;
          }
        };
        socket.on('drain', more);
        more();
      }),
    );
    const synced = await handshake(target);
    if (synced.how !== 'full') throw new Error(synced.how);
    let [taken, ahead] = [0, 0];
    for await (const part of synced.rdb) {
      taken += part.length;
      if (taken < 4 << 20) await pause(2);
      ahead = Math.max(ahead, sent - taken);
    }
    expect(taken).toBe(size);
    expect(ahead).toBeLessThan(32 << 20);
  });
});

describe('following', () => {
  const set = (value: string) => command('SET', 'k', value);
  const ping = command('PING');
  const follow = async (send: Parameters<typeof onPsync>[1], options: Parameters<typeof followStream>[1] = {}) => {
    const { target, seen } = await primary(onPsync('+CONTINUE', send));
    const synced = await resumeAt(target, { replid: id, offset: 100 });
    return { following: followStream(synced, { everyMs: 30, ...options }), seen };
  };
  const gather = async (stretches: AsyncIterable<Stretch>) => {
    const got: Stretch[] = [];
    let error: unknown;
    try {
      for await (const stretch of stretches) got.push(stretch);
    } catch (problem) {
      error = problem;
    }
    return { got, error };
  };

  test('hands out what is whole when the connection ends, and then says so', async () => {
    const whole = Buffer.concat([set('1'), ping, set('2')]);
    const { following } = await follow((socket) => socket.end(Buffer.concat([whole, set('3').subarray(0, 9)])), { everyMs: 10_000 });
    const { got, error } = await gather(following);
    expect(error).toBeInstanceOf(ReplicationLost);
    expect(got).toHaveLength(1);
    expect(got[0]).toMatchObject({ startOffset: 100, endOffset: 100 + whole.length });
    expect(got[0]?.bytes.equals(Buffer.concat([set('1'), Buffer.from('#...........\n#\n'.replace('.', '')), set('2')]))).toBe(true);
  });

  test('hands out a stretch when it is large enough, or old enough', async () => {
    const { following } = await follow(
      async (socket) => {
        socket.write(set('x'.repeat(5000)));
        await pause(100);
        socket.write(set('2'));
        await pause(100);
        socket.end();
      },
      { stretchBytes: 5000, everyMs: 30 },
    );
    const { got } = await gather(following);
    expect(got.map(({ bytes }) => bytes.length)).toEqual([set('x'.repeat(5000)).length, set('2').length]);
  });

  test('tells the server what is durable: each second, and whenever it asks', async () => {
    let server: Parameters<Behaviour>[1] | undefined;
    const { following, seen } = await follow((socket) => {
      server = socket;
    });
    const acks = () => seen.filter((line) => line.startsWith('REPLCONF ACK'));
    const done = gather(following);
    await until('it begins by telling', async () => acks().length > 0);
    following.acknowledge(90); // what was told is not taken back
    const start = performance.now();
    for (let asked = 1; asked <= 8; asked++) {
      const before = acks().length;
      server?.write(command('REPLCONF', 'GETACK', '*'));
      await until('it answers', async () => acks().length > before);
    }
    expect(performance.now() - start, 'by the second it would take eight').toBeLessThan(6000);
    expect(new Set(acks())).toEqual(new Set(['REPLCONF ACK 100']));
    following.acknowledge(120);
    await until('it tells without being asked', async () => acks().at(-1) === 'REPLCONF ACK 120');
    server?.end();
    await done;
  });

  test('takes silence for the end, but not while PINGs come', async () => {
    const { following } = await follow(
      async (socket) => {
        for (let i = 0; i < 5; i++) {
          socket.write(ping);
          await pause(100);
        }
      },
      { silenceMs: 400, everyMs: 10 },
    );
    const { got, error } = await gather(following);
    expect(String(error)).toContain('said nothing for 400 ms, not even PING');
    expect(got.at(-1)).toMatchObject({ endOffset: 100 + 5 * ping.length });
    expect(Buffer.concat(got.map(({ bytes }) => bytes)).toString()).toMatch(/^(#\.{0,11}\n)+$/);
  });

  test('refuses a transaction that is larger than what it may hold', async () => {
    const { following } = await follow((socket) => socket.write(Buffer.concat([command('MULTI'), set('x'.repeat(100_000))])), {
      largestBytes: 50_000,
    });
    const { error } = await gather(following);
    expect(error).toMatchObject({ type: 'EngineRefused', nonRetryable: true, message: expect.stringContaining('raise largestBytes') });
  });
});
