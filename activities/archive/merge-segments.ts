import type { SegmentAbout } from '../../config/archive.ts';
import { backupKeys, type SegmentName } from '../../config/names.ts';
import type { Merge } from '../../model/recovery/merge-plan.ts';
import type { KeyRing } from '../backup/key-ring.ts';
import type { StreamStore } from '../storage/object-store.ts';
import { nameOf, openSegment, sealSegment } from './segment.ts';

export interface MergeDeps {
  readonly store: StreamStore;
  readonly ring: KeyRing;
  readonly signal: AbortSignal;
}

/** One segment has all that these have. They stay, for whoever reads them now; `covered` finds them the next time. @throws ObjectDamaged */
export async function mergeSegments(deps: MergeDeps, merge: Merge): Promise<void> {
  const { store, ring, signal } = deps;
  const [first, last] = [merge[0], merge.at(-1)];
  if (first === undefined || last === undefined) return;
  const [begin, end] = [await aboutOf(deps, first), await aboutOf(deps, last)];
  const { startDb: _, endDb: __, ...rest } = begin;
  const about: SegmentAbout = {
    ...rest,
    endOffset: end.endOffset,
    lastMs: end.lastMs,
    ...(begin.startDb === undefined ? {} : { startDb: begin.startDb }),
    ...(end.endDb === undefined ? {} : { endDb: end.endDb }),
  };
  const bytes = async function* () {
    for (const name of merge) yield* openSegment(deps, name).bytes;
  };
  const sealing = sealSegment(about, bytes(), await ring.current());
  await store.putStream(backupKeys.segment(nameOf(about)), sealing.bytes, { signal, partBytes: 16 * 1024 ** 2, queue: 2 });
}

async function aboutOf(deps: MergeDeps, name: SegmentName): Promise<SegmentAbout> {
  const segment = openSegment(deps, name);
  for await (const _ of segment.bytes) break; // its header is what is wanted
  return segment.about();
}
