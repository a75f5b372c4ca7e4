import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeCommand, listItems, RawList, type Reply, ReplyReader, ServerError, type Word } from '../../activities/redis/protocol.ts';

/** Bytes that servers send: any at all in strings, also those that look like the protocol. */
const bytes = fc
  .oneof(fc.uint8Array({ maxLength: 20 }), fc.constantFrom('', '\r\n', '$5\r\n', '-ERR', '*1\r\n', 'ключ', 'holdfast:probe:{a}'))
  .map((one) => Buffer.from(one as string));
const line = fc.stringMatching(/^[ -~]{0,30}$/);
/** No count of a server comes near 2^53. */
const number = fc.oneof(
  fc.integer({ min: -1000, max: 1000 }),
  fc.integer(),
  fc.nat({ max: 2 ** 31 - 1 }).map((n) => n * 2 ** 20),
);

interface Sent {
  readonly reply: Reply;
  readonly bytes: Buffer;
}
const join = (...parts: readonly (string | Buffer)[]): Buffer => Buffer.concat(parts.map((part) => Buffer.from(part as string)));

const simple: fc.Arbitrary<Sent> = fc.oneof(
  line.map((text) => ({ reply: text, bytes: join(`+${text}\r\n`) })),
  line.map((text) => ({ reply: new ServerError(text), bytes: join(`-${text}\r\n`) })),
  number.map((value) => ({ reply: value, bytes: join(`:${value}\r\n`) })),
  bytes.map((value) => ({ reply: value, bytes: join(`$${value.length}\r\n`, value, '\r\n') })),
  fc.constantFrom('$-1\r\n', '*-1\r\n').map((text) => ({ reply: null, bytes: join(text) })),
);
const tree: fc.Arbitrary<Sent> = fc.letrec<{ any: Sent; list: Sent }>((tie) => ({
  any: fc.oneof({ depthSize: 'small', withCrossShrink: true }, simple, tie('list')),
  list: fc
    .array(tie('any'), { maxLength: 4 })
    .map((items) => ({ reply: items.map(({ reply }) => reply), bytes: join(`*${items.length}\r\n`, ...items.map((item) => item.bytes)) })),
})).any;
const names: fc.Arbitrary<Sent> = fc.array(bytes, { maxLength: 6 }).map((items) => {
  const body = join(...items.flatMap((item) => [`$${item.length}\r\n`, item, '\r\n']));
  return { reply: new RawList(items.length, body), bytes: join(`*${items.length}\r\n`, body) };
});

/** The end of a transaction: lists of names are in it, and its first reply is no string. */
const transaction: fc.Arbitrary<Sent> = fc
  .tuple(line, fc.array(fc.oneof(names, simple), { maxLength: 4 }))
  .map(([first, items]) => [{ reply: first, bytes: join(`+${first}\r\n`) }, ...items])
  .map((items) => ({ reply: items.map(({ reply }) => reply), bytes: join(`*${items.length}\r\n`, ...items.map((item) => item.bytes)) }));

/** Everything that a reader gives when the bytes come in these pieces; also how many replies were there after each. */
function readIn(pieces: readonly Buffer[], raw: boolean): readonly Reply[] {
  const reader = new ReplyReader();
  const replies: Reply[] = [];
  for (const piece of pieces) {
    reader.add(piece);
    for (let reply = reader.next(raw); reply !== undefined; reply = reader.next(raw)) replies.push(reply);
  }
  return replies;
}
/** Buffers of their own, as what a reader gives out may be part of a larger one. */
const plain = (reply: Reply): unknown => {
  if (Buffer.isBuffer(reply)) return { bulk: reply.toString('hex') };
  if (reply instanceof RawList) return { count: reply.count, body: reply.body.toString('hex') };
  if (reply instanceof ServerError) return { error: reply.message, kind: reply.kind };
  return Array.isArray(reply) ? reply.map(plain) : reply;
};
const cutAt = (whole: Buffer, ...cuts: readonly number[]): readonly Buffer[] => {
  const ends = [...cuts.map((cut) => cut % (whole.length + 1)), whole.length].sort((a, b) => a - b);
  return ends.map((end, index) => whole.subarray(ends[index - 1] ?? 0, end));
};

describe('replies', () => {
  test.each([
    ['of any kind', tree, false],
    ['that are left in the encoding of the server', fc.oneof(names, simple, transaction), true],
  ] as const)('%s are the same wherever the bytes are cut', (_, any, raw) => {
    fc.assert(
      fc.property(fc.array(any, { minLength: 1, maxLength: 4 }), (sent) => {
        const whole = join(...sent.map((one) => one.bytes));
        const expected = sent.map(({ reply }) => plain(reply));
        for (let cut = 0; cut <= whole.length; cut++) expect(readIn(cutAt(whole, cut), raw).map(plain)).toEqual(expected);
      }),
      { numRuns: 100 },
    );
  });

  test.each([
    ['of any kind', tree, false],
    ['that are left in the encoding of the server', fc.oneof(names, simple, transaction), true],
  ] as const)('%s are the same byte by byte, and in any pieces', (_, any, raw) => {
    fc.assert(
      fc.property(fc.array(any, { minLength: 1, maxLength: 4 }), fc.array(fc.nat(), { maxLength: 8 }), (sent, cuts) => {
        const whole = join(...sent.map((one) => one.bytes));
        const expected = sent.map(({ reply }) => plain(reply));
        const single = Array.from({ length: whole.length }, (__, at) => whole.subarray(at, at + 1));
        expect(readIn(single, raw).map(plain)).toEqual(expected);
        expect(readIn(cutAt(whole, ...cuts), raw).map(plain)).toEqual(expected);
      }),
      { numRuns: 100 },
    );
  });

  test('are not made up while bytes are missing', () => {
    fc.assert(
      fc.property(tree, fc.nat(), ({ bytes: whole }, cut) => {
        const reader = new ReplyReader();
        reader.add(whole.subarray(0, cut % whole.length));
        expect(reader.next(false)).toBeUndefined();
      }),
      { numRuns: 200 },
    );
  });

  test('stay as they were when more comes in', () => {
    const reader = new ReplyReader();
    const chunk = Buffer.from('$3\r\nabc\r\n*1\r\n$3\r\ndef\r\n$3\r\ngh');
    reader.add(chunk);
    const [first, second] = [reader.next(true), reader.next(true)];
    expect(reader.next(true)).toBeUndefined();
    reader.add(Buffer.from('i\r\n'));
    expect([first, second, reader.next(true)].map((reply) => plain(reply ?? null))).toEqual([
      { bulk: Buffer.from('abc').toString('hex') },
      { count: 1, body: Buffer.from('$3\r\ndef\r\n').toString('hex') },
      { bulk: Buffer.from('ghi').toString('hex') },
    ]);
  });

  test('that are none are an error, with what came instead', () => {
    const reader = new ReplyReader();
    reader.add(Buffer.from('HTTP/1.1 400 Bad Request\r\n'));
    expect(() => reader.next(false)).toThrow('not a reply: HTTP/1.1 400 Bad Req');
  });

  test.each([
    ['MOVED 7 10.0.0.1:6379', 'MOVED'],
    ['BUSYKEY Target key name already exists.', 'BUSYKEY'],
    ['ERR', 'ERR'],
    ['', ''],
  ])('the error %j is of the kind %j', (message, kind) => {
    expect(new ServerError(message).kind).toBe(kind);
  });
});

describe('commands', () => {
  const word: fc.Arbitrary<Word> = fc.oneof(bytes, fc.string({ unit: 'binary', maxLength: 12 }), fc.integer());

  test('are lists of strings, with the length in bytes', () => {
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 6 }), (words) => {
        const [read, ...more] = readIn([Buffer.from(encodeCommand(words) as string)], false);
        const wanted = words.map((one) => (Buffer.isBuffer(one) ? one : Buffer.from(String(one))).toString('hex'));
        expect((read as readonly Buffer[]).map((one) => one.toString('hex'))).toEqual(wanted);
        expect(more).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });

  test('take the names of keys as they came: the reply of the server is the end of the next command', () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 8 }), (keys) => {
        const reply = join(`*${keys.length}\r\n`, ...keys.flatMap((key) => [`$${key.length}\r\n`, key, '\r\n']));
        const [list] = readIn([reply], true);
        if (!(list instanceof RawList)) throw new Error('no list');
        expect(listItems(list).map((key) => key.toString('hex'))).toEqual(keys.map((key) => key.toString('hex')));
        const head = encodeCommand(['UNLINK', ...keys.map(() => 'x')]) as string;
        const command = join(`*${1 + list.count}\r\n$6\r\nUNLINK\r\n`, list.body);
        expect(command.subarray(0, command.indexOf('\r\n')).toString()).toBe(head.slice(0, head.indexOf('\r\n')));
        const [read] = readIn([command], false);
        expect((read as readonly Buffer[]).slice(1).map((key) => key.toString('hex'))).toEqual(keys.map((key) => key.toString('hex')));
      }),
      { numRuns: 100 },
    );
  });
});
