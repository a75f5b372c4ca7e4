import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RdbFraming } from '../../activities/replication/rdb-framing.ts';
import { readRdbHeader } from '../../activities/replication/rdb-header.ts';
import { cutInto, cuts } from './replication-streams.ts';

const MARK = Buffer.from('0123456789abcdef0123456789abcdef01234567');
/** Any bytes, and the beginnings and ends of the mark, which are no mark. */
const payload = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
      fc.nat({ max: 39 }).map((length) => MARK.subarray(0, length)),
      fc.nat({ max: 39 }).map((length) => MARK.subarray(40 - length)),
    ),
    { maxLength: 8 },
  )
  .map((parts) => Buffer.concat(parts))
  .filter((bytes) => !bytes.includes(MARK));
const rest = fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes));
const keepAlives = fc.nat({ max: 4 }).map((count) => Buffer.from('\n'.repeat(count)));

describe('an RDB', () => {
  for (const how of ['mark', 'length'] as const)
    test(`that ends by ${how} is handed out to the last byte and no further, wherever it is cut`, () => {
      fc.assert(
        fc.property(payload, rest, keepAlives, cuts, (rdb, after, before, at) => {
          // What comes before the mark may look like its beginning, but what is no mark with it must not become one.
          fc.pre(how === 'length' || Buffer.concat([rdb, MARK]).indexOf(MARK) === rdb.length);
          const sent =
            how === 'mark'
              ? [before, Buffer.from(`$EOF:${MARK}\r\n`), rdb, MARK, after]
              : [before, Buffer.from(`$${rdb.length}\r\n`), rdb, after];
          const framing = new RdbFraming();
          const got: Buffer[] = [];
          const left: Buffer[] = [];
          for (const chunk of cutInto(Buffer.concat(sent), at)) {
            if (framing.rest !== undefined) left.push(chunk);
            else got.push(...framing.add(chunk));
          }
          expect(Buffer.concat(got).equals(rdb)).toBe(true);
          expect(Buffer.concat([framing.rest ?? Buffer.from('not complete'), ...left]).equals(after)).toBe(true);
        }),
        { numRuns: 1500 },
      );
    });

  test('without its end is never complete', () => {
    fc.assert(
      fc.property(payload, fc.nat({ max: 39 }), cuts, (rdb, cut, at) => {
        const body = Buffer.concat([rdb, MARK.subarray(0, cut)]);
        fc.pre(!body.includes(MARK));
        const framing = new RdbFraming();
        const sent = Buffer.concat([Buffer.from(`$EOF:${MARK}\r\n`), body]);
        const got = cutInto(sent, at).flatMap((chunk) => framing.add(chunk));
        expect(framing.rest).toBeUndefined();
        expect(body.subarray(0, Buffer.concat(got).length).equals(Buffer.concat(got))).toBe(true);
      }),
    );
  });

  test('is refused with the words of the server that sends none', () => {
    for (const line of ["-ERR BGSAVE failed, replication can't continue", '+OK', '$EOF:short', '$-1'])
      expect(() => new RdbFraming().add(Buffer.from(`\n${line}\r\n`))).toThrow(line);
    expect(() => new RdbFraming().add(Buffer.alloc(2000, 'x'))).toThrow('x'.repeat(1024));
  });
});

describe("an RDB's header", () => {
  const text = (value: string) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
  const aux = (name: string, value: Buffer) => Buffer.concat([Buffer.from([0xfa]), text(name), value]);
  const id = 'a'.repeat(40);
  const header = (magic: string) =>
    Buffer.concat([
      Buffer.from(magic),
      aux('redis-ver', text('8.0.2')),
      aux('redis-bits', Buffer.from([0xc0, 64])),
      aux('ctime', Buffer.from([0xc2, 0x00, 0xf1, 0x53, 0x65])),
      aux('packed', Buffer.from([0xc3, 3, 40, 1, 2, 3])),
      aux('repl-stream-db', Buffer.from([0xc0, 3])),
      aux('repl-id', text(id)),
      aux('repl-offset', Buffer.from([0xc1, 0xd2, 0x04])),
      Buffer.from([0xfe, 0]),
    ]);
  const known = { serverVersion: '8.0.2', createdAtSec: 1_700_000_000, streamDb: 3, replid: id, offset: 1234 };

  test('tells the format, the server, the time, the stream and its database', () => {
    expect(readRdbHeader(header('REDIS0012'))).toEqual({ formatVersion: 12, ...known });
    expect(readRdbHeader(header('VALKEY080'))).toEqual({ formatVersion: 80, ...known });
  });

  test('tells what it can when it is cut off, and nothing of what is no RDB', () => {
    const whole = header('REDIS0010');
    for (let length = 0; length < whole.length; length++) {
      const part = readRdbHeader(whole.subarray(0, length));
      if (length < 9) expect(part).toBeUndefined();
      else expect({ formatVersion: 10, ...known }).toMatchObject(part ?? { never: true });
    }
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(readRdbHeader(Buffer.from(bytes))).toBeUndefined();
        expect(readRdbHeader(Buffer.concat([Buffer.from('REDIS0011'), bytes]))).toMatchObject({ formatVersion: 11 });
      }),
    );
  });
});
