import { failures } from '../../config/failures.ts';
import { fatal } from '../support/failure.ts';
import { KNOWN_BYTES, knownCommand } from './known-command.ts';

/** Bytes of a stream, by the offsets before the first and after the last of them. */
export interface StreamRange {
  readonly startOffset: number;
  readonly endOffset: number;
}

/** A moment that stands in the stream: everything up to `offset` was written at it or before, by the clock of the server that wrote it. */
export interface Stamp {
  /** After the stamp, and after the transaction around it, if there is one. */
  readonly offset: number;
  readonly timeMs: number;
}

/** What a chunk has brought. */
export interface Scanned {
  /**
   * Where in this chunk the last command ends that leaves no transaction open; 0 when none does. What follows is kept for the next chunk.
   */
  readonly boundary: number;
  /** The offset there, or where it was before when `boundary` is 0. */
  readonly boundaryOffset: number;
  /**
   * What lies before the boundary, and after the one before it, and is no write: counted in offsets, but not for an AOF. Such a range may
   * begin in an earlier chunk, after its boundary.
   */
  readonly talk: readonly StreamRange[];
  readonly stamps: readonly Stamp[];
  /** The database that is selected at the boundary; undefined while nothing has told. */
  readonly db: number | undefined;
  /** The primary asks to be told how much has arrived. */
  readonly getAck: boolean;
}

type State = 'command' | 'word' | 'body';

const [CR, LF, STAR, DOLLAR, HASH, ZERO, NINE] = [13, 10, 42, 36, 35, 48, 57];
/** A header line is never longer: a sign, ten digits, CR and LF. Nor is a remark. */
export const LONGEST_HEADER = 13;
const BLANK = -1;
const CUT_OFF = Number.NEGATIVE_INFINITY;
const NONE: readonly never[] = [];

/**
 * Finds where commands end in a stream of writes that comes in chunks cut anywhere. Bodies are skipped, not looked at. Starts at a
 * boundary. The stream is RESP as servers send it to replicas: arrays of bulk strings, and blank lines between them that mean nothing. Or it is
 * what was stored of one: there remarks, as an AOF may have them (`#`), stand in the place of what was no write.
 */
export class CommandScanner {
  /** After everything that was scanned. */
  offset: number;
  /** After the last command that leaves no transaction open. */
  boundaryOffset: number;
  /** What comes next: a command (how many words), a word (how long), or the rest of a word's body. */
  #state: State = 'command';
  #words = 0;
  #wordsLeft = 0;
  /** Bytes of a body, with its line's end, that are still to come. */
  #skip = 0;
  /** What the header line that was read last says, or BLANK. */
  #number = 0;
  /** A header line of which the last chunk had only the beginning. */
  readonly #cut = Buffer.alloc(LONGEST_HEADER);
  #cutLength = 0;
  #commandOffset: number;
  /** The first bytes of a command that began in an earlier chunk. */
  readonly #head = Buffer.alloc(KNOWN_BYTES);
  #headLength = 0;
  #inTransaction = false;
  #timeInTransaction: number | undefined;
  #db: number | undefined;
  #dbBeforeTransaction: number | undefined;
  #talk: StreamRange[] = [];
  #stamps: Stamp[] = [];
  #getAck = false;

  /** @param db the database that is selected at `offset`, when it is known */
  constructor(offset: number, db?: number) {
    this.offset = offset;
    this.boundaryOffset = offset;
    this.#commandOffset = offset;
    this.#db = db;
  }

  /** @throws EngineRefused when this is no stream of writes, or did not start at a boundary */
  scan(chunk: Buffer): Scanned {
    const base = this.offset;
    const end = chunk.length;
    if (this.#headLength > 0) this.#remember(chunk, 0);
    let at = 0;
    while (at < end) {
      if (this.#state === 'body') {
        if (this.#skip > end - at) {
          this.#skip -= end - at;
          break;
        }
        at += this.#skip;
        if (chunk[at - 1] !== LF) throw broken(base + at - 1);
        this.#wordsLeft--;
        this.#state = this.#wordsLeft > 0 ? 'word' : 'command';
        if (this.#wordsLeft === 0) this.#ended(chunk, base, at);
        continue;
      }
      const start = at - this.#cutLength;
      if (this.#state === 'command') this.#commandOffset = base + start;
      at = this.#cutLength > 0 ? this.#joinedHeader(chunk, base) : this.#header(chunk, at, end, base);
      if (at === CUT_OFF) {
        if (this.#cutLength === 0) this.#cutLength = chunk.copy(this.#cut, 0, start);
        break;
      }
      if (this.#state === 'word') {
        this.#skip = this.#number + 2;
        this.#state = 'body';
      } else if (this.#number === BLANK) {
        this.#isTalk(base + at);
      } else {
        this.#words = this.#number;
        this.#wordsLeft = this.#number;
        this.#state = 'word';
      }
    }
    this.offset = base + end;
    const begun = this.#state !== 'command' || this.#cutLength > 0;
    if (begun && this.#commandOffset >= base) this.#remember(chunk, this.#commandOffset - base);
    return this.#report(base);
  }

  /** Reads a header line, or a blank one or a remark before a command; where it ends, or CUT_OFF when it is not all there. */
  #header(bytes: Buffer, start: number, end: number, base: number): number {
    const isWord = this.#state === 'word';
    const sign = bytes[start];
    let number = 0;
    let at = start + 1;
    if (sign === (isWord ? DOLLAR : STAR)) {
      for (let byte = bytes[at]; at < end && byte !== CR; byte = bytes[++at]) {
        if (byte === undefined || byte < ZERO || byte > NINE) throw broken(base + at);
        number = number * 10 + byte - ZERO;
      }
      if (at - start > LONGEST_HEADER - 2) throw broken(base + start);
      if (at + 1 >= end) return CUT_OFF;
      if (at === start + 1 || (number === 0 && !isWord)) throw broken(base + start);
    } else {
      if (isWord || (sign !== LF && sign !== CR && sign !== HASH)) throw broken(base + start);
      number = BLANK;
      if (sign === HASH) {
        const line = bytes.subarray(start, Math.min(end, start + LONGEST_HEADER)).indexOf(LF);
        if (line < 0 && end - start >= LONGEST_HEADER) throw broken(base + start);
        if (line < 0) return CUT_OFF;
        at = start + line;
      } else if (sign === LF) at--;
      else if (at >= end) return CUT_OFF;
      at--;
    }
    if (bytes[at + 1] !== LF) throw broken(base + at + 1);
    this.#number = number;
    return at + 2;
  }

  /** Reads a header line that began in the last chunk. What it returns counts in this one. */
  #joinedHeader(chunk: Buffer, base: number): number {
    const had = this.#cutLength;
    const whole = had + chunk.copy(this.#cut, had, 0, LONGEST_HEADER - had);
    const end = this.#header(this.#cut, 0, whole, base - had);
    this.#cutLength = end === CUT_OFF ? whole : 0;
    return end === CUT_OFF ? end : end - had;
  }

  #remember(chunk: Buffer, from: number): void {
    this.#headLength += chunk.copy(this.#head, this.#headLength, from);
  }

  /** Runs for every command: most are writes, and only move the boundary. */
  #ended(chunk: Buffer, base: number, at: number): void {
    const start = this.#commandOffset - base;
    const known = start >= 0 ? knownCommand(chunk, start, at - start, this.#words) : knownCommand(this.#head, 0, at - start, this.#words);
    this.#headLength = 0;
    if (known !== undefined) {
      switch (known.kind) {
        case 'multi':
          this.#inTransaction = true;
          this.#dbBeforeTransaction = this.#db;
          return;
        case 'exec':
          this.#inTransaction = false;
          if (this.#timeInTransaction !== undefined) this.#stamps.push({ offset: base + at, timeMs: this.#timeInTransaction });
          this.#timeInTransaction = undefined;
          break;
        case 'talk':
          this.#getAck ||= known.getAck;
          this.#isTalk(base + at);
          return;
        case 'select':
          this.#db = known.db;
          break;
        case 'stamp':
          if (this.#inTransaction) this.#timeInTransaction = known.timeMs;
          else this.#stamps.push({ offset: base + at, timeMs: known.timeMs });
      }
    }
    if (!this.#inTransaction) this.boundaryOffset = base + at;
  }

  #isTalk(endOffset: number): void {
    this.#headLength = 0;
    this.#talk.push({ startOffset: this.#commandOffset, endOffset });
    if (!this.#inTransaction) this.boundaryOffset = endOffset;
  }

  #report(base: number): Scanned {
    const talk = this.#talk.length === 0 ? NONE : this.#talk.filter(({ endOffset }) => endOffset <= this.boundaryOffset);
    if (talk.length > 0) this.#talk = this.#talk.slice(talk.length);
    const stamps = this.#stamps.length === 0 ? NONE : this.#stamps;
    if (stamps.length > 0) this.#stamps = [];
    const getAck = this.#getAck;
    this.#getAck = false;
    return {
      boundary: Math.max(0, this.boundaryOffset - base),
      boundaryOffset: this.boundaryOffset,
      talk,
      stamps,
      db: this.#inTransaction ? this.#dbBeforeTransaction : this.#db,
      getAck,
    };
  }
}

const broken = (offset: number) =>
  fatal(
    failures.engineRefused,
    `what comes at offset ${offset} is no command: the stream was not followed from where a command begins, or it is not a server's. Next: begin a new timeline with a full synchronization`,
  );
