import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { clockCommand } from '../../activities/replication/clock.ts';
import { CommandScanner, type Stamp, type StreamRange } from '../../activities/replication/command-scanner.ts';
import { type Stretch, StretchBuilder } from '../../activities/replication/stretch.ts';
import { bytesOf, command, cutInto, cuts, type Item, stamp, stream } from './replication-streams.ts';

interface Boundary {
  readonly offset: number;
  readonly db: number | undefined;
}

/** The same, told from the whole stream at once. */
function expected(items: readonly Item[], start: number, startDb: number | undefined) {
  const boundaries: Boundary[] = [{ offset: start, db: startDb }];
  const talk: StreamRange[] = [];
  const stamps: Stamp[] = [];
  let [offset, db, inside, getAcks] = [start, startDb, false, 0];
  let held: number | undefined;
  for (const item of items) {
    const endOffset = offset + item.bytes.length;
    if (item.kind === 'multi') inside = true;
    if (item.kind === 'exec') inside = false;
    if (item.kind === 'select') db = item.db;
    if (item.kind === 'talk' || item.kind === 'getack') talk.push({ startOffset: offset, endOffset });
    if (item.kind === 'getack') getAcks++;
    if (item.kind === 'stamp') held = item.timeMs;
    if (!inside) {
      boundaries.push({ offset: endOffset, db });
      if (held !== undefined) stamps.push({ offset: endOffset, timeMs: held });
      held = undefined;
    }
    offset = endOffset;
  }
  return { boundaries, talk, stamps, getAcks };
}
const start = fc.nat({ max: 2 ** 50 });
const startDb = fc.option(fc.nat({ max: 15 }), { nil: undefined });

describe('the scanner', () => {
  test('finds the same boundaries, databases, talk and stamps wherever the stream is cut', () => {
    fc.assert(
      fc.property(stream, cuts, start, startDb, (items, at, from, db) => {
        const want = expected(items, from, db);
        const scanner = new CommandScanner(from, db);
        const talk: StreamRange[] = [];
        const stamps: Stamp[] = [];
        let [asked, base] = [false, from];
        for (const chunk of cutInto(bytesOf(items), at)) {
          const scanned = scanner.scan(chunk);
          const last = want.boundaries.findLast(({ offset }) => offset <= base + chunk.length);
          expect({ offset: scanned.boundaryOffset, db: scanned.db }).toEqual(last);
          expect(scanned.boundary).toBe(Math.max(0, scanned.boundaryOffset - base));
          base += chunk.length;
          expect(scanner.offset).toBe(base);
          talk.push(...scanned.talk);
          stamps.push(...scanned.stamps);
          // All that lies before the boundary is told with it, and nothing that lies behind.
          expect(talk.length).toBe(want.talk.filter(({ endOffset }) => endOffset <= scanned.boundaryOffset).length);
          expect(stamps.length).toBe(want.stamps.filter(({ offset }) => offset <= scanned.boundaryOffset).length);
          asked ||= scanned.getAck;
        }
        expect(talk).toEqual(want.talk);
        expect(stamps).toEqual(want.stamps);
        expect(asked).toBe(want.getAcks > 0);
      }),
      { numRuns: 400 },
    );
  });

  test('refuses what is no stream of commands, and names the offset', () => {
    for (const [bytes, offset] of [
      ['PING\r\n', 100],
      ['*1\r\n+PING\r\n', 104],
      ['*1\r\n$4\r\nPINGPONG\r\n', 113],
      ['*x\r\n', 101],
      ['*0\r\n', 100],
      ['$4\r\nPING\r\n', 100],
      ['*12345678901234567890', 100],
      ['\r\r', 101],
    ] as const) {
      for (const at of [[], 'single'] as const) {
        const scanner = new CommandScanner(100);
        expect(() => {
          for (const chunk of cutInto(Buffer.from(bytes), at)) scanner.scan(chunk);
        }, bytes).toThrow(`offset ${offset} is no command`);
      }
    }
  });

  test('knows the time that a server has put in the place of the time to live, and no other write of that key', () => {
    const stampsOf = (bytes: Buffer) => new CommandScanner(0).scan(bytes).stamps;
    const { bytes } = stamp('abc', 1_700_000_000_123);
    expect(stampsOf(bytes)).toEqual([{ offset: bytes.length, timeMs: 1_700_000_000_123 }]);
    expect(stampsOf(command(...clockCommand('abc').map(String)))).toEqual([]);
    expect(stampsOf(command('SET', 'holdfast:clock:{abc', '60000', 'PXAT', '1700000060000'))).toEqual([]);
    expect(stampsOf(command('SET', 'holdfast:clock:{abc}', '60000', 'PXAT', 'now'))).toEqual([]);
    expect(stampsOf(command('SET', 'holdfast:clock:{abc}', `${'6'.repeat(300)}`, 'PXAT', '1700000060000'))).toEqual([]);
  });
});

describe('stretches', () => {
  /** No server sends a single line feed into a stream that is under way. */
  const real = stream.map((items) => items.filter(({ bytes }) => bytes.length > 1));

  test('hold every write once, in order and at its offset, and end where commands and transactions end', () => {
    fc.assert(
      fc.property(real, cuts, start, startDb, fc.array(fc.boolean(), { minLength: 1 }), (items, at, from, db, takes) => {
        const want = expected(items, from, db);
        const building = new StretchBuilder(from, db);
        const got: Stretch[] = [];
        const chunks = cutInto(bytesOf(items), at);
        chunks.forEach((chunk, index) => {
          building.add(chunk);
          if (takes[index % takes.length] && building.sinceMs !== undefined) got.push(building.take());
        });
        got.push(building.take());
        expect(building.openBytes).toBe(0);
        expect(got.flatMap(({ stamps }) => stamps)).toEqual(want.stamps);
        let [offset, selected] = [from, db];
        for (const stretch of got) {
          expect({ offset: stretch.startOffset, db: stretch.startDb }).toEqual({ offset, db: selected });
          expect(want.boundaries).toContainEqual({ offset: stretch.endOffset, db: stretch.endDb });
          expect(stretch.bytes.length).toBe(stretch.endOffset - stretch.startOffset);
          [offset, selected] = [stretch.endOffset, stretch.endDb];
        }
        expect(offset).toBe(from + bytesOf(items).length);
        const stored = Buffer.concat(got.map(({ bytes }) => bytes));
        let place = 0;
        for (const { kind, bytes } of items) {
          const there = stored.subarray(place, place + bytes.length);
          if (kind !== 'talk' && kind !== 'getack') expect(there.equals(bytes)).toBe(true);
          else expect(there.toString()).toMatch(/^(#\.{0,11}\n)+$/);
          place += bytes.length;
        }
      }),
      { numRuns: 400 },
    );
  });

  test('can be scanned again, with the same boundaries, databases and stamps, and nothing but remarks that is no write', () => {
    fc.assert(
      fc.property(real, cuts, start, startDb, (items, at, from, db) => {
        const want = expected(items, from, db);
        const building = new StretchBuilder(from, db);
        building.add(bytesOf(items));
        const scanner = new CommandScanner(from, db);
        const stamps: Stamp[] = [];
        let covered = 0;
        for (const chunk of cutInto(building.take().bytes, at)) {
          const scanned = scanner.scan(chunk);
          stamps.push(...scanned.stamps);
          const inTalk = want.talk.some(
            ({ startOffset, endOffset }) => startOffset < scanned.boundaryOffset && scanned.boundaryOffset < endOffset,
          );
          expect(inTalk || want.boundaries.some(({ offset }) => offset === scanned.boundaryOffset)).toBe(true);
          expect(scanned.getAck).toBe(false);
          for (const range of scanned.talk) covered += range.endOffset - range.startOffset;
        }
        expect(stamps).toEqual(want.stamps);
        expect(covered).toBe(want.talk.reduce((sum, range) => sum + range.endOffset - range.startOffset, 0));
      }),
      { numRuns: 400 },
    );
  });

  test('refuse a byte that can be no remark', () => {
    const building = new StretchBuilder(7, 0);
    building.add(Buffer.concat([command('INCR', 'a'), Buffer.from('\n')]));
    expect(() => building.take()).toThrow('offset 28 is no command');
  });
});
