import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createRdbPreludeReader, type RdbPrelude } from '../../activities/replication/rdb-prelude.ts';

const text = (value: string) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
const long = (value: string) => {
  const head = Buffer.alloc(5, 0x80);
  head.writeUInt32BE(value.length, 1);
  return Buffer.concat([head, Buffer.from(value)]);
};
const magic = Buffer.from('REDIS0011');
const aux = Buffer.concat([Buffer.from([0xfa]), text('redis-bits'), Buffer.from([0xc0, 64])]);
const aux32 = Buffer.concat([Buffer.from([0xfa]), text('ctime'), Buffer.from([0xc2, 1, 2, 3, 4])]);
const packed = Buffer.concat([Buffer.from([0xfa]), text('x'), Buffer.from([0xc3, 3, 50, 1, 2, 3])]);
const library = Buffer.concat([Buffer.from([0xf5]), long(`#!lua name=a\n${'-'.repeat(70_000)}`)]);
// A module's own: id (8 bytes), two for "when", a text, the end.
const moduleAux = Buffer.concat([Buffer.from([0xf7, 0x81, 1, 2, 3, 4, 5, 6, 7, 8, 2, 2, 5]), text('module'), Buffer.from([0])]);
const database = (number: number, keys: number) => {
  const count = Buffer.alloc(5, 0x80);
  count.writeUInt32BE(keys, 1);
  return Buffer.concat([Buffer.from([0xfe, number, 0xfb]), count, Buffer.from([0])]);
};

function read(rdb: Buffer, pieceBytes: number): RdbPrelude | undefined {
  const reader = createRdbPreludeReader();
  for (let at = 0; at < rdb.length; at += pieceBytes) reader.add(rdb.subarray(at, at + pieceBytes));
  return reader.result();
}

test('functions, the first database and its keys are read, however the bytes are cut', () => {
  const rdb = Buffer.concat([magic, aux, aux32, packed, moduleAux, library, library, database(3, 1_234_567), Buffer.alloc(1000, 0xfe)]);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: rdb.length }), (pieceBytes) => {
      expect(read(rdb, pieceBytes)).toEqual({ functions: 2, database: 3, keys: 1_234_567 });
    }),
    { numRuns: 30, examples: [[1]] },
  );
});

test('an RDB without keys says so', () => {
  expect(read(Buffer.concat([magic, aux, library, Buffer.from([0xff])]), 7)).toEqual({ functions: 1, database: 0, keys: 0 });
});

test('what is not known is not guessed', () => {
  expect(read(Buffer.concat([magic, Buffer.from([0x42]), database(0, 1)]), 100)).toBeUndefined();
  expect(read(magic, 100)).toBeUndefined();
});
