import { LONGEST_STAMP, stampIn } from './clock.ts';

/** A command of the stream that means something to whoever follows it. Everything else is a write, and passes through as it is. */
export type KnownCommand =
  | { readonly kind: 'multi' | 'exec' }
  /** What a server says to its replicas and not to its data: PING, REPLCONF, and of CLUSTER what is about slots on their way. An AOF has none of it. */
  | { readonly kind: 'talk'; readonly getAck: boolean }
  | { readonly kind: 'select'; readonly db: number }
  | { readonly kind: 'stamp'; readonly timeMs: number };

/** As many of a command's first bytes are needed to tell what it is. */
export const KNOWN_BYTES = LONGEST_STAMP;

const MULTI: KnownCommand = { kind: 'multi' };
const EXEC: KnownCommand = { kind: 'exec' };
const TALK: KnownCommand = { kind: 'talk', getAck: false };
const GETACK: KnownCommand = { kind: 'talk', getAck: true };

const [S, P, M, E, R, C] = [...'SPMERC'].map((letter) => letter.charCodeAt(0));
const UPPER = 0xdf;
const [DIGIT, CR] = [48, 13];

/**
 * Tells by a command's first bytes what it is. Runs for every command of a stream: most are told apart by the length of their name alone,
 * and no string is made. The stream's commands come from the servers themselves, so numbers are written in one way only (no `*01`).
 * @param length of the whole command, of which `bytes` hold at least the first KNOWN_BYTES after `start`
 */
export function knownCommand(bytes: Buffer, start: number, length: number, words: number): KnownCommand | undefined {
  const name = start + (words < 10 ? 8 : words < 100 ? 9 : 10);
  const nameLength = (bytes[name - 3] as number) - DIGIT;
  const initial = (bytes[name] as number) & UPPER;
  switch (nameLength) {
    case 3:
      if (words !== 5 || initial !== S || length > LONGEST_STAMP) return undefined;
      return stamped(stampIn(bytes, start, start + length));
    case 4:
      if (words !== 1) return undefined;
      if (initial === P && named(bytes, name, 'PING')) return TALK;
      return initial === E && named(bytes, name, 'EXEC') ? EXEC : undefined;
    case 5:
      return words === 1 && initial === M && named(bytes, name, 'MULTI') ? MULTI : undefined;
    case 6:
      if (words !== 2 || initial !== S || !named(bytes, name, 'SELECT')) return undefined;
      return { kind: 'select', db: Number(bytes.toString('latin1', name + 8, start + length).split('\r\n')[1]) };
    case 7:
      // CLUSTER FLUSHSLOT of Valkey removes keys, and goes to replicas as it is.
      return words > 1 && initial === C && named(bytes, name, 'CLUSTER') && isAboutSlots(bytes, name + 13) ? TALK : undefined;
    case 8:
      if (words !== 3 || initial !== R || !named(bytes, name, 'REPLCONF')) return undefined;
      return named(bytes, name + 14, 'GETACK') ? GETACK : TALK;
    default:
      return undefined;
  }
}

const stamped = (timeMs: number | undefined): KnownCommand | undefined => (timeMs === undefined ? undefined : { kind: 'stamp', timeMs });

const isAboutSlots = (bytes: Buffer, at: number): boolean => named(bytes, at, 'SETSLOT') || named(bytes, at, 'SYNCSLOTS');

/** Whether the word that begins at `at` is this one, and ends there. */
function named(bytes: Buffer, at: number, word: string): boolean {
  for (let i = 0; i < word.length; i++) if (((bytes[at + i] as number) & UPPER) !== word.charCodeAt(i)) return false;
  return bytes[at + word.length] === CR;
}
