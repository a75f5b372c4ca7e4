import { z } from 'zod';

/**
 * What the payload converter hands over in place of JSON that cannot be parsed. A converter that throws would fail the workflow task, which
 * Temporal retries for ever; this reaches the schema instead, and a person reads what is wrong.
 */
export const BROKEN_JSON = 'holdfast.broken-json';

/** The outcome of reading an input: the value, or sentences for the person who wrote it. */
export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly message: string };

/** Reads an input of any origin. The message names each field that is wrong and what it should be. */
export function parseInput<S extends z.ZodType>(schema: S, raw: unknown, what: string): Parsed<z.output<S>> {
  if (typeof raw === 'object' && raw !== null && BROKEN_JSON in raw) {
    return { ok: false, message: `the input of ${what} is not JSON: ${String(raw[BROKEN_JSON])}` };
  }
  if (raw === undefined || raw === null)
    return {
      ok: false,
      message: `${what} needs one JSON object as its input; schemas/ has its schema, and holdfast schema ${what} prints it`,
    };
  const parsed = schema.safeParse(raw);
  return parsed.success
    ? { ok: true, value: parsed.data }
    : { ok: false, message: `the input of ${what} cannot be used:\n${z.prettifyError(parsed.error)}` };
}
