import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { MAX_HEADER_BYTES, SEALED_FORMAT, type SealedHeader, sealedHeader } from '../../config/sealed.ts';
import { decrypt, encrypt } from '../secrets/envelope.ts';
import { madeLeftovers } from '../support/leftovers.ts';

/** The pieces of a sealed object, as docs/backup-format.md describes them: a header's line, and frames. */

/** One byte, 1 for the last frame and else 0, and four with the length of the ciphertext, big-endian. */
export const FRAME_HEAD_BYTES = 5;
export const TAG_BYTES = 16;
const CIPHER = 'aes-256-gcm';
const DATA_KEY_BYTES = 32;
/** A frame's number has 32 bits: an object has room for 4 PiB. */
const MAX_FRAMES = 2 ** 32;

/** What encrypts the frames of one object. */
export interface FrameKey {
  readonly dataKey: Uint8Array;
  /** Of the header's line with its end: no frame of another object, or under an altered header, opens. */
  readonly headerSha256: Uint8Array;
}

const digest = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/** A data key is used for one object, so the number of the frame may be the nonce. The last byte says whether frames follow. */
function nonce(index: number, last: boolean): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32BE(index, 7);
  bytes[11] = last ? 1 : 0;
  return bytes;
}

function associated({ headerSha256 }: FrameKey, index: number): Buffer {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(index);
  return Buffer.concat([headerSha256, number]);
}

/** Makes a header's line for a new object, with a data key of its own. */
export function writeHeader(header: SealedHeader, kek: Uint8Array): { readonly line: Buffer; readonly key: FrameKey } {
  const dataKey = randomBytes(DATA_KEY_BYTES);
  const start = `${SEALED_FORMAT} ${JSON.stringify(sealedHeader.parse(header))}`;
  const line = Buffer.from(`${start} ${encrypt(kek, dataKey, start).toString('base64')}\n`);
  if (line.length > MAX_HEADER_BYTES) throw new RangeError(`the header of a sealed object has ${line.length} bytes; say less in \`about\``);
  return { line, key: { dataKey, headerSha256: digest(line) } };
}

/** A header's line, read. `unwrap` gives undefined when the key is another one, or the line was altered. */
export interface ReadHeader {
  readonly header: SealedHeader;
  unwrap(kek: Uint8Array): FrameKey | undefined;
}

/**
 * Reads a header's line, with its end.
 * @returns why it cannot be read, otherwise.
 */
export function readHeader(line: Buffer): ReadHeader | 'another format' | 'damaged' {
  const text = line.toString();
  const [format = '', ...rest] = text.split(' ');
  if (!/^holdfast-sealed-\d+$/.test(format)) return 'damaged';
  if (format !== SEALED_FORMAT) return 'another format';
  const wrappedText = rest.pop()?.trimEnd() ?? '';
  const wrapped = Buffer.from(wrappedText, 'base64');
  const parsed = parseJson(rest.join(' '));
  if (parsed === undefined || wrapped.toString('base64') !== wrappedText) return 'damaged';
  const start = text.slice(0, text.lastIndexOf(' '));
  return {
    header: parsed,
    unwrap(kek) {
      try {
        return { dataKey: decrypt(kek, wrapped, start), headerSha256: digest(line) };
      } catch {
        return undefined; // GCM says no more than that
      }
    },
  };
}

function parseJson(text: string): SealedHeader | undefined {
  try {
    return sealedHeader.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** The bytes of a frame, in parts. @throws RangeError when the object has too many frames. */
export function sealFrame(key: FrameKey, index: number, last: boolean, plain: Uint8Array): readonly Buffer[] {
  if (index >= MAX_FRAMES) throw new RangeError(`a sealed object has ${MAX_FRAMES} frames at most`);
  const cipher = createCipheriv(CIPHER, key.dataKey, nonce(index, last), { authTagLength: TAG_BYTES }).setAAD(associated(key, index));
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  head[0] = last ? 1 : 0;
  head.writeUInt32BE(plain.length, 1);
  const sealed = cipher.update(plain);
  madeLeftovers(sealed.length);
  cipher.final(); // of this cipher nothing is left over
  return [head, sealed, cipher.getAuthTag()];
}

/** Opens what follows a frame's head. Undefined when it is not that very frame of that very object, whole and unaltered. */
export function openFrame(key: FrameKey, index: number, last: boolean, body: Uint8Array): Buffer | undefined {
  const decipher = createDecipheriv(CIPHER, key.dataKey, nonce(index, last), { authTagLength: TAG_BYTES })
    .setAAD(associated(key, index))
    .setAuthTag(body.subarray(-TAG_BYTES));
  const plain = decipher.update(body.subarray(0, -TAG_BYTES));
  madeLeftovers(plain.length);
  try {
    decipher.final();
    return plain;
  } catch {
    return undefined; // not authentic
  }
}
