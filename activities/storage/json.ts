/** The value of a small JSON object; undefined when it is none, or missing: the schema that reads it says so. */
export function readJson(bytes: Uint8Array | undefined): unknown {
  try {
    return bytes === undefined ? undefined : JSON.parse(Buffer.from(bytes).toString());
  } catch {
    return undefined;
  }
}
