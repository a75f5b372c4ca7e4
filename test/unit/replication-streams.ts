import fc from 'fast-check';
import { clockKey } from '../../activities/replication/clock.ts';

/** A piece of a stream of writes, and what it is to whoever follows it. */
export type Item =
  | { readonly kind: 'write' | 'talk' | 'getack' | 'multi' | 'exec'; readonly bytes: Buffer }
  | { readonly kind: 'select'; readonly bytes: Buffer; readonly db: number }
  | { readonly kind: 'stamp'; readonly bytes: Buffer; readonly timeMs: number };

export const command = (...words: readonly (string | Buffer)[]): Buffer =>
  Buffer.concat([
    Buffer.from(`*${words.length}\r\n`),
    ...words.flatMap((word) => [Buffer.from(`$${Buffer.byteLength(word)}\r\n`), Buffer.from(word as string), Buffer.from('\r\n')]),
  ]);
const one = <K extends Item['kind']>(kind: K, ...words: readonly (string | Buffer)[]) => ({ kind, bytes: command(...words) });

export const stamp = (tag: string, timeMs: number): Item => ({
  ...one('stamp', 'SET', clockKey(tag), '60000', 'PXAT', String(timeMs + 60_000)),
  timeMs,
});

/** Words of writes: any bytes, and those that look like what the scanner looks for. */
const word: fc.Arbitrary<Buffer> = fc
  .oneof(
    { weight: 3, arbitrary: fc.uint8Array({ maxLength: 12 }) },
    { weight: 1, arbitrary: fc.uint8Array({ minLength: 100, maxLength: 400 }) },
    {
      weight: 2,
      arbitrary: fc.constantFrom('', '\r\n', '*1\r\n$4\r\nPING\r\n', '$5', 'MULTI', 'EXEC', 'PING', 'SELECT', clockKey('a'), 'PXAT'),
    },
  )
  .map((bytes) => Buffer.from(bytes as string));
/** Names as clients write them; some as long as those that mean something. */
const name = fc.constantFrom(
  'SET',
  'set',
  'GETDEL',
  'UNLINK',
  'PERSIST',
  'LPUSH',
  'SPOP',
  'RENAMENX',
  'XADD',
  'PINGS',
  'CLUSTERS',
  'MULTIS',
);

const write: fc.Arbitrary<Item> = fc
  .tuple(
    name,
    fc.oneof(
      { weight: 9, arbitrary: fc.array(word, { maxLength: 5 }) },
      { weight: 1, arbitrary: fc.array(word, { minLength: 9, maxLength: 130 }) },
    ),
  )
  .map(([first, words]) => one('write', first, ...words));
const time = fc.integer({ min: 1_500_000_000_000, max: 1_900_000_000_000 });
const anyCase = (text: string) => fc.constantFrom(text, text.toLowerCase());
const select: fc.Arbitrary<Item> = fc
  .tuple(anyCase('SELECT'), fc.nat({ max: 10_000 }))
  .map(([text, db]) => ({ ...one('select', text, String(db)), db }));
const marked: fc.Arbitrary<Item> = fc.tuple(fc.stringMatching(/^[a-z0-9]{1,40}$/), time).map(([tag, timeMs]) => stamp(tag, timeMs));
const talk: fc.Arbitrary<Item> = fc.oneof(
  anyCase('PING').map((text) => one('talk', text)),
  fc.constantFrom('\n', '\r\n').map((blank) => ({ kind: 'talk' as const, bytes: Buffer.from(blank) })),
  fc.constant(one('getack', 'REPLCONF', 'GETACK', '*')),
  fc
    .tuple(fc.constantFrom('SETSLOT', 'setslot', 'SYNCSLOTS'), fc.array(word, { maxLength: 120 }))
    .map(([what, words]) => one('talk', 'CLUSTER', what, ...words)),
);
const flush = fc.constantFrom(one('write', 'CLUSTER', 'FLUSHSLOT', '7'), one('write', 'CLUSTER'), one('write', 'CLUSTER', 'SETSLOTS', '7'));
const plain = fc.oneof(
  { weight: 6, arbitrary: write },
  { weight: 1, arbitrary: flush },
  { weight: 1, arbitrary: select },
  { weight: 1, arbitrary: marked },
);
const transaction = fc
  .array(fc.oneof({ weight: 8, arbitrary: plain }, { weight: 1, arbitrary: talk }), { maxLength: 6 })
  .map((inside) => [one('multi', 'MULTI'), ...inside, one('exec', 'EXEC')]);

/** A stream of any commands that servers send to replicas. */
export const stream: fc.Arbitrary<readonly Item[]> = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: plain.map((item) => [item]) },
      { weight: 2, arbitrary: talk.map((item) => [item]) },
      { weight: 2, arbitrary: transaction },
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.flat());

export const bytesOf = (items: readonly Item[]): Buffer => Buffer.concat(items.map(({ bytes }) => bytes));

/** Where to cut: nowhere, here and there, or into single bytes. */
export const cuts = fc.oneof(
  { weight: 4, arbitrary: fc.array(fc.nat(), { maxLength: 8 }) },
  { weight: 1, arbitrary: fc.constantFrom('single' as const, 'pairs' as const) },
);

export function cutInto(whole: Buffer, at: readonly number[] | 'single' | 'pairs'): readonly Buffer[] {
  const ends =
    typeof at === 'string'
      ? Array.from(whole, (_, index) => index + 1).filter((end) => at === 'single' || end % 2 === 0)
      : at.map((cut) => cut % (whole.length + 1));
  const all = [...ends, whole.length].sort((a, b) => a - b);
  return all.map((end, index) => whole.subarray(all[index - 1] ?? 0, end));
}
