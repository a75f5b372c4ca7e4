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
const [CR, PLUS, MINUS, COLON, DOLLAR, STAR, ZERO] = [13, 43, 45, 58, 36, 42, 48];

/** Thrown inside of the reader when a reply is not all there yet. */
const INCOMPLETE = Symbol('incomplete');

/** Takes replies of RESP2 out of a stream of bytes. What it has given out is never written over. */
export class ReplyReader {
  #bytes: Buffer = Buffer.alloc(0);
  #end = 0;
  #at = 0;
  /** Where the reading of a long list stands, of which not all is there yet: it may come in hundreds of pieces. */
  #list: { readonly start: number; readonly begun: number; readonly items: number; readonly at: number } | undefined;

  add(chunk: Buffer): void {
    if (this.#at === this.#end) {
      [this.#bytes, this.#at, this.#end] = [chunk, 0, chunk.length];
      return;
    }
    if (this.#end + chunk.length > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(1024, 2 * (this.#end - this.#at + chunk.length)));
      this.#bytes.copy(grown, 0, this.#at, this.#end);
      if (this.#list !== undefined) {
        const { start, begun, items, at } = this.#list;
        this.#list = { start: start - this.#at, begun: begun - this.#at, items, at: at - this.#at };
      }
      [this.#bytes, this.#at, this.#end] = [grown, 0, this.#end - this.#at];
    }
    this.#end += chunk.copy(this.#bytes, this.#end);
  }

  /** The next reply, or undefined while it is not all there. @param raw leave lists of strings as they are, also inside of another list */
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
    const reply = this.#at;
    const kind = this.#byte(this.#at);
    if (kind === COLON || kind === DOLLAR || kind === STAR) {
      const number = this.#number();
      if (kind === COLON) return number;
      if (number < 0) return null;
      if (kind === DOLLAR) return this.#bulk(number);
      if (raw && (number === 0 || this.#byte(this.#at) === DOLLAR)) return this.#rawList(number, reply);
      const list: Reply[] = [];
      for (let i = 0; i < number; i++) list.push(this.#reply(raw)); // as of a transaction
      return list;
    }
    if (kind !== PLUS && kind !== MINUS)
      throw new Error(`not a reply: ${this.#bytes.subarray(this.#at, this.#at + 20).toString('latin1')}`);
    const line = this.#line();
    return kind === PLUS ? line : new ServerError(line);
  }

  #rawList(count: number, reply: number): RawList {
    const known = this.#list?.start === reply ? this.#list : undefined;
    const begun = known?.begun ?? this.#at;
    let items = known?.items ?? 0;
    if (known !== undefined) this.#at = known.at;
    for (; items < count; items++) {
      const at = this.#at;
      try {
        this.#byte(at);
        this.#skip(this.#number() + 2);
      } catch (error) {
        this.#list = { start: reply, begun, items, at };
        throw error;
      }
    }
    this.#list = undefined;
    return new RawList(count, this.#bytes.subarray(begun, this.#at));
  }

  #bulk(length: number): Buffer {
    const start = this.#at;
    this.#skip(length + 2);
    return this.#bytes.subarray(start, start + length);
  }

  #skip(length: number): void {
    this.#at += length;
    if (this.#at > this.#end) throw INCOMPLETE;
  }

  #byte(at: number): number {
    const byte = at < this.#end ? this.#bytes[at] : undefined;
    if (byte === undefined) throw INCOMPLETE;
    return byte;
  }

  /** The number of a header line, after its first byte. */
  #number(): number {
    let at = this.#at + 1;
    const negative = this.#byte(at) === MINUS;
    if (negative) at++;
    let value = 0;
    for (let byte = this.#byte(at); byte !== CR; byte = this.#byte(++at)) value = value * 10 + (byte - ZERO);
    this.#at = at + 2;
    if (this.#at > this.#end) throw INCOMPLETE;
    return negative ? -value : value;
  }

  #line(): string {
    const end = this.#bytes.subarray(0, this.#end).indexOf('\r\n', this.#at);
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
