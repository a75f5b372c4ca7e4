import type { ShardSource } from '../../model/recovery/shard-recovery.ts';
import { openShard, requireSame, told, type UnpackDeps } from '../backup/unpack.ts';
import { PIECE_BYTES, PIECE_END, pieceHead } from './pieces.ts';

/** Where a large key stands in the whole. */
export interface Large {
  readonly owner: number;
  readonly from: number;
  readonly to: number;
}

/** Reads the shard once more, and sends each of these keys by itself. */
export async function putLarge(
  deps: UnpackDeps,
  source: ShardSource,
  magic: string,
  large: readonly Large[],
  put: (owner: number, content: AsyncIterable<Uint8Array>, size: number) => Promise<void>,
): Promise<void> {
  const opening = await openShard(deps, source, source.base);
  const stretches = createStretches(told(opening, source.base));
  const head = pieceHead(magic);
  try {
    for (const { owner, from, to } of large) {
      const content = async function* () {
        yield head;
        yield* stretches.between(from, to);
        yield PIECE_END;
      };
      await stretches.reach(from); // the engine hangs up on who says nothing for a minute
      await put(owner, content(), to - from + PIECE_BYTES);
    }
    await stretches.skip();
  } finally {
    await stretches.close();
  }
  requireSame(opening, source.base);
}

/** Parts of something that goes by, in its order. */
function createStretches(source: AsyncGenerator<Buffer>) {
  let held = Buffer.alloc(0);
  let at = 0; // of held
  async function more(): Promise<boolean> {
    at += held.length;
    const next = await source.next();
    held = next.done === true ? Buffer.alloc(0) : Buffer.from(next.value);
    return next.done !== true;
  }
  return {
    async *between(from: number, to: number): AsyncGenerator<Buffer> {
      for (;;) {
        if (at < to && at + held.length > from) yield held.subarray(Math.max(0, from - at), to - at);
        if (at + held.length >= to) return;
        if (!(await more())) return;
      }
    },
    async reach(from: number) {
      while (at + held.length <= from && (await more()));
    },
    async skip() {
      while (await more());
    },
    async close() {
      await source.return(undefined);
    },
  };
}
