import { failures } from '../../config/failures.ts';
import { fatal, messageOf } from '../support/failure.ts';
import { type ReplicationLink, ReplicationLost } from './link.ts';
import { PayloadRefused, RdbFraming } from './rdb-framing.ts';
import { RDB_HEADER_BYTES, type RdbHeader, readRdbHeader } from './rdb-header.ts';
import { refusal } from './refusal.ts';

/**
 * An RDB while it comes. Can be read once; the server waits while the reader is slow, with a child process that holds a copy of what changes
 * meanwhile. A reader that leaves early closes the connection.
 */
export interface RdbStream extends AsyncIterable<Buffer> {
  /** Whether it was read to its end: only then is it an RDB. */
  readonly complete: boolean;
  /** What was handed out. */
  readonly bytes: number;
  /** What it says of itself: known after its first KiB was read, and for a smaller one at its end. */
  readonly header: RdbHeader | undefined;
}

export interface RdbStreamOptions {
  /** How long the server may say nothing while it is waited for: in its preparations it sends a line feed now and then. */
  readonly stallMs: number;
  /** Close the connection at the end: nothing but the RDB is wanted. */
  readonly rdbOnly: boolean;
}

/** @throws (while it is read) ReplicationLost when it ends early or stalls; EngineRefused when it is not an RDB or a final refusal came instead */
export function rdbStream(link: ReplicationLink, { stallMs, rdbOnly }: RdbStreamOptions): RdbStream {
  let begun = false;
  let complete = false;
  let bytes = 0;
  let head = Buffer.alloc(0);
  let header: RdbHeader | undefined;

  const look = (part: Buffer) => {
    if (header !== undefined || head.length >= RDB_HEADER_BYTES) return;
    head = Buffer.concat([head, part.subarray(0, RDB_HEADER_BYTES - head.length)]);
    if (head.length < RDB_HEADER_BYTES && !complete) return;
    header = readRdbHeader(head);
    if (header === undefined)
      throw fatal(
        failures.engineRefused,
        `${link.address} sent something that is no RDB. Next: is there a proxy, or another product, between?`,
      );
  };
  const early = (why: string) =>
    new ReplicationLost(
      `the RDB of ${link.address} broke off after ${bytes} bytes: ${why}. What came of it is worthless: begin anew; if it breaks off again, the server's log says why`,
    );

  async function* parts(): AsyncGenerator<Buffer> {
    if (begun) throw new Error('an RDB can be read once');
    begun = true;
    const framing = new RdbFraming();
    try {
      while (framing.rest === undefined) {
        const chunk = await link.read(stallMs).catch((error: unknown) => {
          throw error instanceof ReplicationLost ? early(messageOf(error)) : error;
        });
        if (chunk === undefined) throw early(`nothing came for ${stallMs} ms`);
        for (const part of framing.add(chunk)) {
          look(part);
          bytes += part.length;
          yield part;
        }
      }
      complete = true;
      look(Buffer.alloc(0));
      link.unread(framing.rest);
    } catch (error) {
      complete = false;
      throw error instanceof PayloadRefused ? refusal(error.message, link.address, 'send an RDB') : error;
    } finally {
      if (rdbOnly || !complete) link.close();
    }
  }
  return {
    [Symbol.asyncIterator]: parts,
    get complete() {
      return complete;
    },
    get bytes() {
      return bytes;
    },
    get header() {
      return header;
    },
  };
}
