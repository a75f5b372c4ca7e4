/** Bytes of a key's name that a person gets to see. */
export const NAME_BYTES = 100;

/** A key for a person: what is not plain text is escaped, and a long one is cut. */
export function printable(name: Buffer): string {
  const text = [...name.subarray(0, NAME_BYTES)]
    .map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`))
    .join('');
  return name.length > NAME_BYTES ? `${text}...` : text;
}
