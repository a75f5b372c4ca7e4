/** What a server loads from one file: an RDB of its own, or writes. */
export interface Piece {
  /** Who gets it. */
  readonly owner: number;
  readonly bytes: Buffer;
}

export interface PiecesOptions {
  /** With which the RDB began that the keys are from; missing when they are writes. */
  readonly magic?: string;
  /** Of a piece, at most. */
  readonly pieceBytes: number;
  /** Sends a piece. Its bytes are used again when that has ended. */
  readonly send: (piece: Piece) => Promise<void>;
  /** So many are sent side by side. */
  readonly atOnce: number;
}

/** Keys, or writes, for several owners, gathered into pieces, each of which is sent when it is full. */
export interface Pieces {
  /** @param keys as they stand in an RDB, or commands; no more than a piece holds */
  add(owner: number, keys: Uint8Array): void;
  /** Undefined when more may come at once; else to be waited for. @throws what a sending threw */
  rest(): Promise<void> | undefined;
  /** All is sent. */
  end(): Promise<void>;
  /** Nothing is sent any more. */
  close(): Promise<void>;
}

/** The first database is selected. */
const SELECT = Buffer.from([0xfe, 0]);
/** The end, and in the place of a checksum that there is none. */
export const PIECE_END = Buffer.from([0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
const NOTHING = Buffer.alloc(0);

export const pieceHead = (magic: string): Buffer => Buffer.concat([Buffer.from(magic, 'latin1'), SELECT]);
/** What a piece has besides keys. */
export const PIECE_BYTES = 9 + SELECT.length + PIECE_END.length;

export function createPieces({ magic, pieceBytes, send, atOnce }: PiecesOptions): Pieces {
  const [head, end] = magic === undefined ? [NOTHING, NOTHING] : [pieceHead(magic), PIECE_END];
  const open = new Map<number, { readonly room: Buffer; used: number }>();
  const free: Buffer[] = [];
  const ready: { readonly owner: number; readonly room: Buffer; readonly used: number }[] = [];
  const sending = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;

  function begin(owner: number) {
    const room = free.pop() ?? Buffer.allocUnsafeSlow(pieceBytes);
    const piece = { room, used: head.copy(room) };
    open.set(owner, piece);
    return piece;
  }
  function finish(owner: number): void {
    const piece = open.get(owner);
    if (piece === undefined) return;
    open.delete(owner);
    ready.push({ owner, room: piece.room, used: piece.used + end.copy(piece.room, piece.used) });
    sendSome();
  }
  function sendSome(): void {
    while (sending.size < atOnce && failure === undefined) {
      const next = ready.shift();
      if (next === undefined) return;
      const { owner, room, used } = next;
      const sent: Promise<void> = send({ owner, bytes: room.subarray(0, used) })
        .then(
          () => void free.push(room),
          (error: unknown) => {
            failure ??= { error };
          },
        )
        .finally(() => {
          sending.delete(sent);
          sendSome();
        });
      sending.add(sent);
    }
  }
  async function settle(waiting: () => boolean): Promise<void> {
    while (waiting() && failure === undefined) await Promise.race(sending);
    if (failure !== undefined) throw failure.error;
  }

  return {
    add(owner, keys) {
      let piece = open.get(owner) ?? begin(owner);
      if (piece.used + keys.length + end.length > pieceBytes) {
        finish(owner);
        piece = begin(owner);
      }
      piece.room.set(keys, piece.used);
      piece.used += keys.length;
    },
    rest: () => (failure === undefined && ready.length === 0 ? undefined : settle(() => ready.length > 0)),
    async end() {
      for (const owner of [...open.keys()]) finish(owner);
      await settle(() => ready.length > 0 || sending.size > 0);
    },
    async close() {
      failure ??= { error: new Error('it was given up') };
      await Promise.allSettled(sending);
    },
  };
}
