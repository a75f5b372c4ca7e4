/** A part of a command. */
export type Word = string | number | Buffer;

/** An error that the server answered; its first word is its kind: MOVED, ERR, BUSYKEY. */
export class ServerError extends Error {
  readonly kind: string;
  constructor(message: string) {
    super(message);
    this.kind = message.split(' ', 1)[0] ?? '';
  }
}

/** A list of strings in the server's own encoding: the same bytes are arguments of the next command. */
export class RawList {
  readonly count: number;
  readonly body: Buffer;
  constructor(count: number, body: Buffer) {
    this.count = count;
    this.body = body;
  }
}

export type Reply = string | number | null | Buffer | ServerError | RawList | readonly Reply[];

/** A command as the servers take it: a list of strings. */
export function encodeCommand(words: readonly Word[]): string | Buffer {
  if (words.every((word) => !Buffer.isBuffer(word))) {
    let text = `*${words.length}\r\n`;
    for (const word of words as readonly (string | number)[]) text += encodeText(String(word));
    return text;
  }
  const parts = words.flatMap((word) =>
    Buffer.isBuffer(word) ? [Buffer.from(`$${word.length}\r\n`), word, CRLF] : [Buffer.from(encodeText(String(word)))],
  );
  return Buffer.concat([Buffer.from(`*${words.length}\r\n`), ...parts]);
}

export const encodeText = (text: string): string => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;

const CRLF = Buffer.from('\r\n');
const [CR, PLUS, MINUS, COLON, DOLLAR, STAR] = [13, 43, 45, 58, 36, 42];

/** Thrown inside of the reader when a reply is not all there yet. */
const INCOMPLETE = Symbol('incomplete');

/** Takes replies of RESP2 out of a stream of bytes. */
export class ReplyReader {
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;

  add(chunk: Buffer): void {
    this.#bytes = this.#at >= this.#bytes.length ? chunk : Buffer.concat([this.#bytes.subarray(this.#at), chunk]);
    this.#at = 0;
  }

  /** The next reply, or undefined while it is not all there. @param raw leave lists of strings as they are */
  next(raw: boolean): Reply | undefined {
    const start = this.#at;
    try {
      return this.#reply(raw);
    } catch (error) {
      if (error !== INCOMPLETE) throw error;
      this.#at = start;
      return undefined;
    }
  }

  #reply(raw: boolean): Reply {
    const kind = this.#bytes[this.#at];
    if (kind === undefined) throw INCOMPLETE;
    if (kind === COLON || kind === DOLLAR || kind === STAR) {
      const number = this.#number();
      if (kind === COLON) return number;
      if (number < 0) return null;
      if (kind === DOLLAR) return this.#bulk(number);
      if (raw) return this.#rawList(number);
      const list: Reply[] = [];
      for (let i = 0; i < number; i++) list.push(this.#reply(false));
      return list;
    }
    if (kind !== PLUS && kind !== MINUS)
      throw new Error(`not a reply: ${this.#bytes.subarray(this.#at, this.#at + 20).toString('latin1')}`);
    const line = this.#line();
    return kind === PLUS ? line : new ServerError(line);
  }

  #rawList(count: number): RawList {
    const start = this.#at;
    for (let i = 0; i < count; i++) {
      if (this.#bytes[this.#at] === undefined) throw INCOMPLETE;
      const length = this.#number();
      this.#skip(length + 2);
    }
    return new RawList(count, this.#bytes.subarray(start, this.#at));
  }

  #bulk(length: number): Buffer {
    const start = this.#at;
    this.#skip(length + 2);
    return this.#bytes.subarray(start, start + length);
  }

  #skip(length: number): void {
    this.#at += length;
    if (this.#at > this.#bytes.length) throw INCOMPLETE;
  }

  /** The number of a header line, after its first byte. */
  #number(): number {
    let at = this.#at + 1;
    const negative = this.#bytes[at] === MINUS;
    if (negative) at++;
    let value = 0;
    for (; this.#bytes[at] !== CR; at++) {
      const digit = this.#bytes[at];
      if (digit === undefined) throw INCOMPLETE;
      value = value * 10 + digit - 48;
    }
    this.#at = at + 2;
    if (this.#at > this.#bytes.length) throw INCOMPLETE;
    return negative ? -value : value;
  }

  #line(): string {
    const end = this.#bytes.indexOf('\r\n', this.#at);
    if (end < 0) throw INCOMPLETE;
    const line = this.#bytes.toString('utf8', this.#at + 1, end);
    this.#at = end + 2;
    return line;
  }
}

/** The strings of a raw list, one by one. */
export function listItems({ count, body }: RawList): readonly Buffer[] {
  const reader = new ReplyReader();
  reader.add(body);
  return Array.from({ length: count }, () => reader.next(false)).filter((item): item is Buffer => Buffer.isBuffer(item));
}
