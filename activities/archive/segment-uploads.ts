import { setTimeout as sleep } from 'node:timers/promises';
import type { SegmentAbout } from '../../config/archive.ts';
import { backupKeys } from '../../config/names.ts';
import type { KeyRing } from '../backup/key-ring.ts';
import type { StreamStore } from '../storage/object-store.ts';
import { messageOf } from '../support/failure.ts';
import { nameOf, sealSegment } from './segment.ts';

export interface Segment {
  readonly about: SegmentAbout;
  readonly bytes: readonly Buffer[];
  /** When the first of it came, by `Date.now()`. */
  readonly sinceMs: number;
}

/** Segments on their way to the bucket: several at once, tried again until they are there. */
export interface SegmentUploads {
  add(segment: Segment): void;
  /** False when so much waits that no more should be read, and nothing was stored for `patienceMs`. */
  room(patienceMs: number): Promise<boolean>;
  /** All that was added is stored, or the signal came: then its reason is thrown. */
  settled(): Promise<void>;
  /** Everything up to this offset is stored, of what was added; undefined while nothing is. */
  readonly storedTo: number | undefined;
  readonly state: UploadState;
}

export interface UploadState {
  readonly segments: number;
  readonly bytes: number;
  /** When the oldest came of what is not stored yet. */
  readonly waitingSinceMs?: number;
  /** Since when the store has taken nothing, and why. */
  readonly away?: { readonly sinceMs: number; readonly why: string };
}

/** What may wait in memory. */
const MOST_WAITING_BYTES = 64 * 1024 ** 2;
const AT_ONCE = 4;
/** A segment is put at once unless a single transaction made it larger than this. */
const PART_BYTES = 16 * 1024 ** 2;
const [FIRST_PAUSE_MS, LONGEST_PAUSE_MS] = [250, 5000];

export interface UploadDeps {
  readonly store: StreamStore;
  readonly ring: KeyRing;
  readonly signal: AbortSignal;
  /** Everything that was added up to this segment is stored. */
  readonly onStored: (about: SegmentAbout) => void;
}

export function createSegmentUploads({ store, ring, signal, onStored }: UploadDeps): SegmentUploads {
  const waiting: { readonly segment: Segment; begun: boolean; stored: boolean }[] = [];
  let [segments, bytes] = [0, 0];
  let storedTo: number | undefined;
  let away: UploadState['away'];
  let wake = (): void => undefined;
  let changed = new Promise<void>((resolve) => {
    wake = resolve;
  });
  const tell = () => {
    wake();
    changed = new Promise<void>((resolve) => {
      wake = resolve;
    });
  };
  signal.addEventListener('abort', tell, { once: true });
  const waitingBytes = () => waiting.reduce((sum, { segment: { about } }) => sum + about.endOffset - about.startOffset, 0);

  async function store_({ about, bytes: parts }: Segment): Promise<void> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      signal.throwIfAborted();
      try {
        const sealing = sealSegment(about, from(parts), await ring.current());
        await store.putStream(backupKeys.segment(nameOf(about)), sealing.bytes, { signal, partBytes: PART_BYTES, queue: 2 });
        away = undefined;
        return;
      } catch (error) {
        signal.throwIfAborted();
        away = { sinceMs: away?.sinceMs ?? Date.now(), why: messageOf(error) };
        await sleep(pauseMs, undefined, { signal });
      }
    }
  }

  function begin(): void {
    let running = waiting.filter((one) => one.begun && !one.stored).length;
    for (const one of waiting) {
      if (running >= AT_ONCE) return;
      if (one.begun) continue;
      one.begun = true;
      running++;
      store_(one.segment).then(
        () => {
          one.stored = true;
          for (let first = waiting[0]; first?.stored === true; first = waiting[0]) {
            waiting.shift();
            segments++;
            bytes += first.segment.about.endOffset - first.segment.about.startOffset;
            storedTo = first.segment.about.endOffset;
            onStored(first.segment.about);
          }
          begin();
          tell();
        },
        tell, // only the signal ends it
      );
    }
  }

  return {
    add(segment) {
      waiting.push({ segment, begun: false, stored: false });
      begin();
    },
    async room(patienceMs) {
      let end = Date.now() + patienceMs;
      while (waitingBytes() > MOST_WAITING_BYTES) {
        signal.throwIfAborted();
        const [before, left] = [segments, end - Date.now()];
        if (left <= 0) return false;
        const late = new AbortController();
        await Promise.race([changed, sleep(left, undefined, { signal: late.signal }).catch(() => undefined)]);
        late.abort();
        if (segments !== before) end = Date.now() + patienceMs;
      }
      return true;
    },
    async settled() {
      while (waiting.length > 0) {
        signal.throwIfAborted();
        await changed;
      }
      signal.throwIfAborted();
    },
    get storedTo() {
      return storedTo;
    },
    get state() {
      const [oldest] = waiting;
      return {
        segments,
        bytes,
        ...(oldest === undefined ? {} : { waitingSinceMs: oldest.segment.sinceMs }),
        ...(away === undefined ? {} : { away }),
      };
    },
  };
}

async function* from(parts: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* parts;
}
