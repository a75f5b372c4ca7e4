/** Longest stretch that is copied as it is. */
const LITERALS = 32;

/**
 * What LibLZF, which the servers use, has compressed. Only names of keys are unpacked here; values stay as they are.
 * @throws RangeError when it is no such thing
 */
export function unpackLzf(packed: Uint8Array, length: number): Buffer {
  const out = Buffer.alloc(length);
  let to = 0;
  for (let at = 0; at < packed.length; ) {
    const control = packed[at++] as number;
    if (control < LITERALS) {
      if (at + control >= packed.length) throw new RangeError('it is cut short');
      out.set(packed.subarray(at, at + control + 1), to);
      at += control + 1;
      to += control + 1;
      continue;
    }
    const more = control >> 5 === 7 ? (packed[at++] as number) : 0;
    const from = to - ((control & 0x1f) << 8) - (packed[at++] as number) - 1;
    const end = to + (control >> 5) + more + 2;
    if (at > packed.length || from < 0 || end > length) throw new RangeError('it refers to what is not there');
    // It may overlap itself, so byte by byte.
    for (let source = from; to < end; ) out[to++] = out[source++] as number;
  }
  if (to !== length) throw new RangeError(`${to} bytes came out, and ${length} were expected`);
  return out;
}
