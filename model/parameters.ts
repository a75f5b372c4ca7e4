import { serverBytes } from '../config/server-parameters.ts';

/** Bytes, the way servers read sizes: `64mb` is 64 x 1024^2, `64m` is 64 x 10^6; numbers without leading zeros. Other values as they are. */
export function normalise(value: string): string {
  if (/^-?\d{1,15}$/.test(value)) return String(Number(value));
  const bytes = serverBytes(value);
  return Number.isNaN(bytes) ? value : String(bytes);
}

/** Words that servers use in turn for the same thing, and sizes inside of longer values. */
function words(name: string, value: string): readonly string[] {
  const parts = value.split(/\s+/).filter((word) => word !== '');
  return parts.map((word) => (name === 'client-output-buffer-limit' && word === 'slave' ? 'replica' : normalise(word)));
}

/** Whether a server that answers `actual` to CONFIG GET has what `wanted` asks for. */
export function sameValue(name: string, wanted: string, actual: string): boolean {
  const [want, have] = [words(name, wanted), words(name, actual)];
  if (name === 'notify-keyspace-events') return eventClasses(wanted) === eventClasses(actual);
  if (name !== 'client-output-buffer-limit') return want.join(' ') === have.join(' ');
  // Only the classes that were asked for: the server answers with all of them.
  const classes = (list: readonly string[]) =>
    new Map(Array.from({ length: list.length / 4 }, (_, i) => [list[i * 4], list.slice(i * 4 + 1, i * 4 + 4).join(' ')]));
  const actualClasses = classes(have);
  return [...classes(want)].every(([name_, limits]) => actualClasses.get(name_) === limits);
}

/** Classes of keyspace events in order, each once; `A` stands for these, and servers answer with it when all of them are on. */
const eventClasses = (letters: string): string => [...new Set(letters.replace('A', 'g$$lshzxetd'))].sort().join('');
