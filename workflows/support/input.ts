import type { z } from 'zod';
import { failures } from '../../config/failures.ts';
import { parseInput } from '../../config/input.ts';
import { fail } from './failure.ts';

/** Reads what a person or a program gave. @throws InvalidInput with each field that is wrong and what it should be */
export function readInput<S extends z.ZodType>(schema: S, raw: unknown, what: string): z.output<S> {
  const parsed = parseInput(schema, raw, what);
  if (!parsed.ok) throw fail(failures.invalidInput, parsed.message);
  return parsed.value;
}
