import { InvalidArgumentError } from 'commander';
import type { z } from 'zod';
import { cpuCount, memorySize, parseBytes } from '../../config/cluster-spec.ts';
import { type ExplicitMove, explicitMove } from '../../config/migration.ts';

/** Numbers that an option may have, both ends included. */
interface Bounds {
  readonly least: number;
  readonly most?: number;
}

const span = ({ least, most }: Bounds) => (most === undefined ? `from ${least}` : `from ${least} to ${most}`);

const within = (value: number, { least, most = Number.MAX_SAFE_INTEGER }: Bounds) => value >= least && value <= most;

/** Parser of an option that takes a whole number. */
export const wholeNumber = (bounds: Bounds) => (text: string) => {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!within(value, bounds)) throw new InvalidArgumentError(`It must be a whole number ${span(bounds)}.`);
  return value;
};

/** Parser of an option that takes a number, such as 0.5. */
export const decimalNumber = (bounds: Bounds) => (text: string) => {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!within(value, bounds)) throw new InvalidArgumentError(`It must be a number ${span(bounds)}.`);
  return value;
};

/** Parser of an option that takes bytes: 1048576 or 1Mi. */
export const byteCount = (bounds: Bounds) => (text: string) => {
  const value = parseBytes(text);
  if (!within(value, bounds)) throw new InvalidArgumentError(`It must be a number of bytes ${span(bounds)}, such as 64Mi or 67108864.`);
  return value;
};

/** The bounds of a number in the contract, for a parser. */
export function boundsOf({ minValue, maxValue }: Pick<z.ZodNumber, 'minValue' | 'maxValue'>): Bounds {
  const least = minValue ?? 0;
  return maxValue === null || maxValue >= Number.MAX_SAFE_INTEGER ? { least } : { least, most: maxValue };
}

/** `512Mi`. As text, for that is how a spec has it. */
export function memoryText(text: string): string {
  const parsed = memorySize.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError('It must be a size from 64Mi on, such as 512Mi or 2Gi.');
  return parsed.data;
}

/** `2027-01-01`, which is the beginning of that day in UTC, or a whole time such as `2027-01-01T12:00:00+01:00`. */
export function instantText(text: string): string {
  const at = /^\d{4}-\d{2}-\d{2}(T.*(Z|[+-]\d{2}:\d{2}))?$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) throw new InvalidArgumentError('It must be a day or a time, such as 2027-01-01 or 2027-01-01T12:00:00Z.');
  return new Date(at).toISOString();
}

/** `2026-11-21T14:03:26Z`: a moment to the second, or finer. A day is none, and without a time zone nobody knows which one is meant. */
export function momentText(text: string): string {
  const clock = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?$/;
  const whole = text.replace(' ', 'T');
  if (clock.test(text)) throw new InvalidArgumentError(`It has no time zone: ${whole}Z is UTC, ${whole}+02:00 is two hours before that.`);
  const at = clock.test(text.replace(/(Z|[+-]\d{2}:\d{2})$/, '')) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at))
    throw new InvalidArgumentError('It must be a moment with its time zone, such as 2026-11-21T14:03:26Z or 2026-11-21T16:03:26+02:00.');
  return new Date(at).toISOString();
}

export const cpuNumber = decimalNumber(boundsOf(cpuCount));

/** `2` or `2%` */
export const percentNumber = (text: string) => decimalNumber({ least: 0, most: 100 })(text.replace(/%$/, ''));

type Weights = Readonly<Record<string, number>>;

/** `--weight 0=2 --weight 3=0.5`: weights by the number of the shard. */
export function addWeight(text: string, given: Weights | undefined): Weights {
  const [, shard, weight] = /^(\d{1,4})=(\d+(?:\.\d+)?)$/.exec(text) ?? [];
  if (shard === undefined || weight === undefined || Number(weight) > 1000)
    throw new InvalidArgumentError(
      'It must look like 0=2: the number of the shard, and its share from 0 (drains it) to 1000; others have 1.',
    );
  const name = String(Number(shard));
  if (given?.[name] !== undefined) throw new InvalidArgumentError(`Shard ${name} has a weight already.`);
  return { ...given, [name]: Number(weight) };
}

/** `--move 0:1:0-99,200`: exactly these slots. */
export function addMove(text: string, given: readonly ExplicitMove[] | undefined): readonly ExplicitMove[] {
  const [, from, to, slots] = /^(\d{1,4}):(\d{1,4}):(.+)$/.exec(text) ?? [];
  const move = explicitMove.safeParse({ from: Number(from), to: Number(to), slots });
  if (!move.success)
    throw new InvalidArgumentError(
      'It must look like 0:1:0-99,200: the shard that gives, the shard that takes, and slots from 0 to 16383.',
    );
  if (move.data.from === move.data.to) throw new InvalidArgumentError(`Shard ${move.data.from} cannot give slots to itself.`);
  return [...(given ?? []), move.data];
}

/** A field of a spec by its path, with its value as YAML has it. */
export interface FieldText {
  readonly path: readonly string[];
  readonly value: string;
}

/** `--set resources.memory=1Gi` */
export function addField(text: string, given: readonly FieldText[] | undefined): readonly FieldText[] {
  const [, path, value] = /^([a-zA-Z][\w-]*(?:\.[a-zA-Z][\w-]*)*)=(.*)$/s.exec(text) ?? [];
  if (path === undefined || value === undefined) throw new InvalidArgumentError('It must look like resources.memory=1Gi.');
  return [...(given ?? []), { path: path.split('.'), value }];
}
