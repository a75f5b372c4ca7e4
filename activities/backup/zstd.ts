import { pipeline, type Transform } from 'node:stream';
import zlib from 'node:zlib';
import { failures } from '../../config/failures.ts';
import { fatal } from '../support/failure.ts';
import { madeLeftovers } from '../support/leftovers.ts';
import { regroup } from './regroup.ts';

/**
 * On what looks like an RDB file level 1 compresses 1.3 times as fast as level 2 and 1.8 times as fast as level 3, to the same size
 * (docs/decisions/0008).
 */
export const DEFAULT_LEVEL = 1;

/**
 * Sockets give 64 KiB at a time; each piece costs a round trip to a thread, and 256 KiB at a time are a fifth faster. It is more than a stream buffers, so that none is asked for before the one before it was
 * compressed: `regroup` uses its memory again.
 */
const PIECE_BYTES = 256 * 1024;

/** One zstd frame. Compression runs in a thread of its own, beside encryption and digests. */
export function compress(source: AsyncIterable<Uint8Array>, level: number): AsyncGenerator<Buffer> {
  const { createZstdCompress, constants } = supported();
  const transform = createZstdCompress({ chunkSize: PIECE_BYTES, params: { [constants.ZSTD_c_compressionLevel]: level } });
  return through(regroup(source, PIECE_BYTES), transform);
}

/**
 * What `compress` made. Node 24 takes the bytes that there are for the whole when a zstd frame is cut short; whoever calls this must know by other
 * means that none is missing.
 */
export function decompress(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  return through(source, supported().createZstdDecompress({ chunkSize: PIECE_BYTES }));
}

/** The packed worker may run on a Node that has no zstd: an import by name would keep it from starting at all. */
function supported(): typeof zlib {
  if (typeof zlib.createZstdCompress === 'function') return zlib;
  throw fatal(failures.formatNotSupported, `this worker runs on Node ${process.version}, which has no zstd: run it on Node 22.15 or later`);
}

async function* through(source: AsyncIterable<Uint8Array>, transform: Transform): AsyncGenerator<Buffer> {
  pipeline(source, transform, () => undefined); // a failure of the source comes out of the transform
  // Destroys it, and with it the source, when the reader leaves.
  for await (const chunk of transform as AsyncIterable<Buffer>) {
    madeLeftovers(chunk.length);
    yield chunk;
  }
}
