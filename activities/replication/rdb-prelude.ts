import { RdbCursor, UnknownRdb } from '../rdb/cursor.ts';
import { AUX, EOF, FUNCTION, MODULE_AUX, RESIZE_DB, SELECT_DB } from '../rdb/opcodes.ts';
import { length, moduleAux, string } from '../rdb/values.ts';

/** What stands in an RDB before its first key. The format is that of the servers' rdb.c. */
export interface RdbPrelude {
  /** Function libraries: all of them stand here. */
  readonly functions: number;
  /** The first database, and the keys in it at the moment of the fork, as the server counted them: also those that had expired and were still there. */
  readonly database: number;
  readonly keys: number;
}

/** Reads the prelude of an RDB that goes by in pieces. Holds the few bytes of one field. */
export interface RdbPreludeReader {
  add(chunk: Uint8Array): void;
  /** Undefined while it was not all there, and when it holds something that is not known. */
  result(): RdbPrelude | undefined;
}

const MAGIC_BYTES = 9;

export function createRdbPreludeReader(): RdbPreludeReader {
  const cursor = new RdbCursor();
  cursor.at = MAGIC_BYTES;
  const reading = prelude(cursor);
  let found: RdbPrelude | undefined;
  let over = false;
  return {
    add(chunk) {
      if (over) return;
      cursor.add(chunk, cursor.at);
      try {
        const step = reading.next();
        if (step.done === true) found = step.value;
        over = step.done === true;
      } catch (error) {
        if (!(error instanceof UnknownRdb)) throw error;
        over = true;
      }
    },
    result: () => found,
  };
}

function* prelude(cursor: RdbCursor): Generator<void, RdbPrelude, void> {
  let [functions, database] = [0, 0];
  for (;;) {
    while (cursor.at >= cursor.end) yield;
    const opcode = cursor.held[cursor.at] as number;
    cursor.at++;
    if (opcode === AUX) {
      yield* string(cursor);
      yield* string(cursor);
    } else if (opcode === MODULE_AUX) yield* moduleAux(cursor);
    else if (opcode === FUNCTION) {
      yield* string(cursor);
      functions++;
    } else if (opcode === SELECT_DB) database = yield* length(cursor);
    else if (opcode === RESIZE_DB) return { functions, database, keys: yield* length(cursor) };
    else if (opcode === EOF) return { functions, database, keys: 0 };
    else throw new UnknownRdb(`opcode ${opcode}`);
  }
}
