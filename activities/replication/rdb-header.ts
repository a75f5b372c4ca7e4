/** What an RDB says of itself in its first bytes. A field that the server did not write is missing. */
export interface RdbHeader {
  /** Version of the format: 10 from Redis 7.0, 12 from 8.0, 11 or 80 from Valkey. */
  readonly formatVersion: number;
  readonly serverVersion?: string;
  readonly createdAtSec?: number;
  /**
   * The database that is selected in the stream of writes at the offset of this RDB. A replica says it here and nowhere else: from a replica
   * the stream does not begin with SELECT, and whoever plays it has to begin with this one.
   */
  readonly streamDb?: number;
  readonly replid?: string;
  readonly offset?: number;
}

/** How many bytes of an RDB surely hold its header. */
export const RDB_HEADER_BYTES = 1024;

const [AUX, INT8, INT16, INT32, LZF] = [0xfa, 0xc0, 0xc1, 0xc2, 0xc3];

/**
 * Reads the auxiliary fields with which an RDB begins; those that are cut off are missing. The format is that of the servers' rdb.c.
 * @returns undefined when it is not an RDB
 */
export function readRdbHeader(bytes: Buffer): RdbHeader | undefined {
  const magic = /^(?:REDIS(\d{4})|VALKEY(\d{3}))/.exec(bytes.toString('latin1', 0, 9));
  if (magic === null) return undefined;
  const fields = readAux(bytes, 9);
  const text = (name: string) => fields.get(name);
  const number = (name: string) => (/^\d{1,15}$/.test(text(name) ?? '') ? Number(text(name)) : undefined);
  const known = {
    serverVersion: text('redis-ver') ?? text('valkey-ver'),
    createdAtSec: number('ctime'),
    streamDb: number('repl-stream-db'),
    replid: text('repl-id'),
    offset: number('repl-offset'),
  };
  return {
    formatVersion: Number(magic[1] ?? magic[2]),
    ...(Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined)) as Partial<typeof known>),
  } as RdbHeader;
}

function readAux(bytes: Buffer, start: number): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  let at = start;
  try {
    while (bytes.readUInt8(at) === AUX) {
      const name = readText(bytes, at + 1);
      const value = readText(bytes, name.end);
      if (name.text !== undefined && value.text !== undefined) fields.set(name.text, value.text);
      at = value.end;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // cut off here: what came before is good
  }
  return fields;
}

/** A string with its length before it, a number, or a compressed string, which is passed over. @throws RangeError when it is cut off */
function readText(bytes: Buffer, at: number): { readonly text?: string; readonly end: number } {
  const first = bytes.readUInt8(at);
  if (first === INT8) return { text: String(bytes.readInt8(at + 1)), end: at + 2 };
  if (first === INT16) return { text: String(bytes.readInt16LE(at + 1)), end: at + 3 };
  if (first === INT32) return { text: String(bytes.readInt32LE(at + 1)), end: at + 5 };
  if (first === LZF) {
    const packed = readLength(bytes, at + 1);
    const plain = readLength(bytes, packed.end);
    return { end: plain.end + packed.length };
  }
  const { length, end } = readLength(bytes, at);
  if (end + length > bytes.length) throw new RangeError('cut off');
  return { text: bytes.toString('utf8', end, end + length), end: end + length };
}

function readLength(bytes: Buffer, at: number): { readonly length: number; readonly end: number } {
  const first = bytes.readUInt8(at);
  if (first < 0x40) return { length: first, end: at + 1 };
  if (first < 0x80) return { length: ((first & 0x3f) << 8) | bytes.readUInt8(at + 1), end: at + 2 };
  if (first === 0x80) return { length: bytes.readUInt32BE(at + 1), end: at + 5 };
  if (first === 0x81) return { length: Number(bytes.readBigUInt64BE(at + 1)), end: at + 9 };
  throw new RangeError('not a length');
}
