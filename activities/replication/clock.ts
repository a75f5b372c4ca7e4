import type { Word } from '../redis/protocol.ts';

/**
 * Time in a stream of writes. Servers put none into it, so somebody writes a key with a time to live again and again: passing the write on, the server
 * puts the moment of the key's end in the place of its time to live (`SET ... PXAT`, since 7.0). So the moment of the write, by the clock of the server
 * that made it, stands in the stream exactly where the write does. The key is gone soon after the writing stops.
 */
const PREFIX = 'holdfast:clock:{';
const LIFE_MS = 60_000;

/** The key by which a shard's stream gets its times; `tag` hashes to any slot of the shard. */
export const clockKey = (tag: string): string => `${PREFIX}${tag}}`;

/** Writes the time into the stream of the primary that runs it. Every 100 to 250 ms is good: so exactly can a moment be found again. */
export const clockCommand = (tag: string): readonly Word[] => ['SET', clockKey(tag), LIFE_MS, 'PX', LIFE_MS];

/** No stamp is longer: its key has at most 99 bytes, a length of two digits. */
export const LONGEST_STAMP = 180;

const START = Buffer.from(PREFIX);
/** Where the key begins: after `*5`, `$3`, `SET` and its own length. */
const KEY_AT = 18;
const WHOLE = /^\*5\r\n\$3\r\nSET\r\n\$\d\d\r\nholdfast:clock:\{[^}\r\n]*\}\r\n\$5\r\n(\d{5})\r\n\$4\r\nPXAT\r\n\$13\r\n(\d{13})\r\n$/;

/** When the command from `start` to `end` was run, in ms since 1970, by its server's clock; undefined when it is no stamp. */
export function stampIn(bytes: Buffer, start: number, end: number): number | undefined {
  const key = start + KEY_AT;
  if (end - start > LONGEST_STAMP || key + START.length > end || bytes.compare(START, 0, START.length, key, key + START.length) !== 0)
    return undefined;
  const found = WHOLE.exec(bytes.toString('latin1', start, end));
  return found === null ? undefined : Number(found[2]) - Number(found[1]);
}
