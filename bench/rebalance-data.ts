import calculateSlot from 'cluster-key-slot';
import { ServerError } from '../activities/redis/protocol.ts';
import type { Wire } from '../activities/redis/wire.ts';
import { SLOTS } from '../model/slots.ts';

/** The same keys and values in every run. */
export const keyName = (index: number): string => `key:${String(index).padStart(8, '0')}`;

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const VALUES = 61;
const made = new Map<number, readonly string[]>();

/** Text that does not compress: servers compress what they send of a key, and a value of one letter would weigh nothing on the way. */
export function valueFor(index: number, bytes: number): string {
  let values = made.get(bytes);
  if (values === undefined) {
    let state = bytes;
    const letter = () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return ALPHABET[state >>> 26] ?? '';
    };
    values = Array.from({ length: VALUES }, () => Array.from({ length: bytes }, letter).join(''));
    made.set(bytes, values);
  }
  return values[index % VALUES] ?? '';
}

/** Letters of one write, about. */
const WRITE = 128 * 1024;
const PATIENCE_MS = 60_000;

/**
 * Writes so many keys, from the first on, straight to the owners of their slots.
 * @param owners the connection to the owner of each slot
 * @param values that the keys have in turn, in ASCII
 * @returns how many keys each slot has
 */
export async function fill(
  owners: readonly Wire[],
  keys: number,
  valueBytes: number,
  values: readonly string[] = Array.from({ length: VALUES }, (_, index) => valueFor(index, valueBytes)),
  first = 0,
): Promise<Uint32Array> {
  const counts = new Uint32Array(SLOTS);
  const tails = values.map((value) => `\r\n$${value.length}\r\n${value}\r\n`);
  const head = `*3\r\n$3\r\nSET\r\n$${keyName(0).length}\r\n`;
  const lanes = new Map([...new Set(owners)].map((wire) => [wire, { text: '', count: 0, underWay: Promise.resolve() }]));
  const send = async (wire: Wire, text: string, count: number): Promise<void> => {
    for (const reply of await wire.askRaw([text], count, PATIENCE_MS)) if (reply instanceof ServerError) throw reply;
  };
  const write = async (wire: Wire): Promise<void> => {
    const lane = lanes.get(wire);
    if (lane === undefined) return;
    await lane.underWay; // one write is under way while the next is put together
    lane.underWay = send(wire, lane.text, lane.count);
    lane.underWay.catch(() => undefined); // it is thrown where it is awaited
    lane.text = '';
    lane.count = 0;
  };
  for (let index = first; index < first + keys; index++) {
    const key = keyName(index);
    const slot = calculateSlot(key);
    const wire = owners[slot];
    const lane = wire === undefined ? undefined : lanes.get(wire);
    if (wire === undefined || lane === undefined) throw new Error(`nobody owns slot ${slot}`);
    counts[slot] = (counts[slot] ?? 0) + 1;
    lane.text += head + key + (tails[index % tails.length] ?? '');
    lane.count++;
    if (lane.text.length >= WRITE) await write(wire);
  }
  for (const wire of lanes.keys()) await write(wire);
  for (const { underWay } of lanes.values()) await underWay;
  return counts;
}
