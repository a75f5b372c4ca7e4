import { SLOTS } from '../../model/slots.ts';

/** CRC16 as XMODEM has it, of each byte. */
const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
  return crc;
});
const [OPEN, CLOSE] = [0x7b, 0x7d];

/**
 * The slot of a key, as the servers reckon it (`keyHashSlot`): of what stands between the first `{` and the next `}`, or of the whole when there is nothing between them. The library that clients use looks on for
 * other braces then, and finds another slot for `{}{a}`.
 */
export function slotOfKey(key: Uint8Array): number {
  let [from, to] = [0, key.length];
  const open = key.indexOf(OPEN);
  const close = open === -1 ? -1 : key.indexOf(CLOSE, open + 1);
  if (close > open + 1) [from, to] = [open + 1, close];
  let crc = 0;
  for (let at = from; at < to; at++) crc = ((crc << 8) & 0xffff) ^ (TABLE[((crc >> 8) ^ (key[at] as number)) & 0xff] as number);
  return crc % SLOTS;
}
