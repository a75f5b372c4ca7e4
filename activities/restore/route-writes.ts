import { Window } from '../rdb/window.ts';
import { slotOfKey } from '../redis/key-slot.ts';

/** A stream of writes cannot be taken apart: it holds a command of which nobody knows here whose it is. */
export class UnknownWrite extends Error {}

/** What is done with the commands of a stream. */
export interface WriteTaker {
  /** Who gets what is written to a slot; undefined when nobody does. */
  ownerOf(slot: number): number | undefined;
  /** Commands as they stand in the stream, one after another; no more than the largest may have. None of the bytes may be kept. */
  take(owner: number, bytes: Buffer): void;
  /** A command that is for all. */
  takeForAll(bytes: Buffer): void;
  /** Is waited for between two chunks. */
  rest(): Promise<void> | undefined;
}

const [CR, LF, STAR, DOLLAR, REMARK, ZERO, NINE] = [13, 10, 42, 36, 35, 48, 57];
const INCOMPLETE = -1;

/**
 * Which word of a command is its key, or the first of its keys: in a cluster all have one slot. Servers tell their replicas what was changed, and not what was asked: no script, nothing that blocks, no time that counts from now. None says that
 * nobody has to have it.
 */
const KEY_AT: ReadonlyMap<string, 'first' | 'second' | 'all' | 'none'> = new Map([
  ...`APPEND BITFIELD COPY DECR DECRBY DEL DELEX DELIFEQ EXPIRE EXPIREAT GEOADD GEORADIUS GEORADIUSBYMEMBER GEOSEARCHSTORE GETDEL GETEX GETSET
    HDEL HEXPIRE HEXPIREAT HGETDEL HGETEX HINCRBY HINCRBYFLOAT HMSET HPERSIST HPEXPIRE HPEXPIREAT HSET HSETEX HSETNX INCR INCRBY INCRBYFLOAT
    LINSERT LMOVE LPOP LPUSH LPUSHX LREM LSET LTRIM MSET MSETNX PERSIST PEXPIRE PEXPIREAT PFADD PFCOUNT PFMERGE PSETEX RENAME RENAMENX RESTORE
    RESTORE-ASKING RPOP RPOPLPUSH RPUSH RPUSHX SADD SDIFFSTORE SET SETBIT SETEX SETNX SETRANGE SINTERSTORE SMOVE SORT SPOP SREM SUNIONSTORE UNLINK
    XACK XACKDEL XADD XAUTOCLAIM XCLAIM XDEL XDELEX XSETID XTRIM ZADD ZDIFFSTORE ZINCRBY ZINTERSTORE ZPOPMAX ZPOPMIN ZRANGESTORE ZREM ZREMRANGEBYLEX
    ZREMRANGEBYRANK ZREMRANGEBYSCORE ZUNIONSTORE`
    .split(/\s+/)
    .map((name) => [name, 'first'] as const),
  ...['BITOP', 'MSETEX', 'XGROUP'].map((name) => [name, 'second'] as const),
  ['FUNCTION', 'all'],
  // Whoever loads them obeys nobody meanwhile, so what belongs together need not come together.
  ...['MULTI', 'EXEC', 'PUBLISH', 'SPUBLISH', 'SELECT'].map((name) => [name, 'none'] as const),
]);

/**
 * Takes a stream of writes of a cluster's node apart while it goes by: each command goes to who owns the slot of its keys.
 * @throws UnknownWrite when there is a command that empties all, one that is not known, or one that is larger than `largestBytes`; and what the source throws
 */
export async function routeWrites(
  source: AsyncIterable<Uint8Array>,
  taker: WriteTaker,
  { largestBytes }: { readonly largestBytes: number },
): Promise<void> {
  const router = new Router(taker, largestBytes);
  for await (const chunk of source) {
    router.add(chunk);
    await taker.rest();
  }
  router.end();
}

class Router {
  readonly #window = new Window();
  readonly #taker: WriteTaker;
  readonly #largest: number;
  /** Where the words begin and end that may be the name and the key. */
  readonly #words = new Int32Array(6);
  /** Commands of one owner, one after another, that were read and not handed out. */
  readonly #run = { owner: 0, from: 0, to: 0 };

  constructor(taker: WriteTaker, largestBytes: number) {
    this.#taker = taker;
    this.#largest = largestBytes;
  }

  add(chunk: Uint8Array): void {
    const window = this.#window;
    window.add(chunk, window.at);
    this.#read();
    this.#handOut();
    if (window.end - window.at > this.#largest) throw new UnknownWrite(`a command of more than ${this.#largest} bytes`);
  }

  end(): void {
    if (this.#window.at < this.#window.end) throw new UnknownWrite('its end in the middle of a command');
  }

  #read(): void {
    const window = this.#window;
    const { held, end } = window;
    while (window.at < end) {
      const first = held[window.at] as number;
      if (first === CR || first === LF) window.at++;
      else if (first === REMARK) {
        const to = held.indexOf(LF, window.at);
        if (to === -1 || to >= end) return;
        window.at = to + 1;
      } else if (first === STAR) {
        const to = this.#endOfCommand(window.at);
        if (to === INCOMPLETE) return;
        this.#route(window.at, to);
        window.at = to;
      } else throw new UnknownWrite('something that is no command');
    }
  }

  /** Where a command ends; notes its first words on the way. */
  #endOfCommand(from: number): number {
    const { end } = this.#window;
    const head = this.#lineEnd(from);
    if (head === INCOMPLETE) return INCOMPLETE;
    const count = this.#numberIn(from, head);
    let at = head;
    this.#words.fill(0);
    for (let word = 0; word < count; word++) {
      const body = this.#lineEnd(at);
      if (body === INCOMPLETE) return INCOMPLETE;
      if (this.#window.held[at] !== DOLLAR) throw new UnknownWrite('a command with a word that has no length');
      const to = body + this.#numberIn(at, body);
      if (word < 3) {
        this.#words[2 * word] = body;
        this.#words[2 * word + 1] = to;
      }
      at = to + 2;
      if (at > end) return INCOMPLETE;
    }
    return at;
  }

  /** After the line that begins at a place. */
  #lineEnd(from: number): number {
    const { held, end } = this.#window;
    for (let at = from + 1; at + 1 < end; at++) if (held[at] === CR && held[at + 1] === LF) return at + 2;
    return INCOMPLETE;
  }

  /** The number that a line has after its sign. @param to after the line */
  #numberIn(from: number, to: number): number {
    const { held } = this.#window;
    let number = 0;
    for (let at = from + 1; at < to - 2; at++) {
      const digit = held[at] as number;
      if (digit < ZERO || digit > NINE) throw new UnknownWrite('a length that is no number');
      number = number * 10 + digit - ZERO;
    }
    return number;
  }

  #route(from: number, to: number): void {
    const { held } = this.#window;
    const word = (number: number) => held.subarray(this.#words[2 * number], this.#words[2 * number + 1]);
    if (to - from > this.#largest) throw new UnknownWrite(`a command of more than ${this.#largest} bytes`);
    const name = held.toString('latin1', this.#words[0], this.#words[1]).toUpperCase();
    if (name === 'CLUSTER' && word(1).toString().toUpperCase() === 'FLUSHSLOT') {
      this.#give(this.#taker.ownerOf(Number(word(2))), from, to);
      return;
    }
    const keyAt = KEY_AT.get(name);
    if (keyAt === undefined) throw new UnknownWrite(`a command ${name.slice(0, 40)}`);
    if (keyAt === 'none') {
      if (name === 'SELECT' && word(1).toString() !== '0') throw new UnknownWrite(`writes to database ${word(1).toString()}`);
      return;
    }
    if (keyAt === 'all') {
      this.#handOut();
      this.#taker.takeForAll(held.subarray(from, to));
      return;
    }
    this.#give(this.#taker.ownerOf(slotOfKey(word(keyAt === 'first' ? 1 : 2))), from, to);
  }

  #give(owner: number | undefined, from: number, to: number): void {
    if (owner === undefined) return;
    const run = this.#run;
    if (run.owner !== owner || run.to !== from || to - run.from > this.#largest) {
      this.#handOut();
      run.owner = owner;
      run.from = from;
    }
    run.to = to;
  }

  #handOut(): void {
    const run = this.#run;
    if (run.to > run.from) this.#taker.take(run.owner, this.#window.held.subarray(run.from, run.to));
    run.from = 0;
    run.to = 0;
  }
}
