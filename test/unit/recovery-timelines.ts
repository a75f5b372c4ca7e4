import type { SegmentName } from '../../config/names.ts';
import type { Base, Timeline } from '../../model/recovery/archive.ts';

/** Timelines as tests need them. Ids of streams count from 0. */
export const replidOf = (id: number): string => String(id).padStart(8, '0').padEnd(40, 'f');

export const segment = (
  startOffset: number,
  endOffset: number,
  { id = 0, firstMs = 0, lastMs = firstMs }: { readonly id?: number; readonly firstMs?: number; readonly lastMs?: number } = {},
): SegmentName => ({
  cluster: 'c',
  shard: 0,
  timeline: '20261121T091700Z-00000000',
  startOffset,
  endOffset,
  firstMs,
  lastMs,
  stream: replidOf(id).slice(0, 8),
});

export const base = (
  offset: number,
  { id = 0, backup, slots = '0-16383' }: { readonly id?: number; readonly backup?: string; readonly slots?: string } = {},
): Base => ({
  ...(backup === undefined ? {} : { backup }),
  data: {
    shard: 0,
    key: 'k',
    object: { id: '', kek: '', plainBytes: 0, plainSha256: '', storedBytes: 0, storedSha256: '' },
    replid: replidOf(id),
    offset,
    slots,
    node: 'n',
    server: { engine: 'valkey', version: '9.1.0' },
    database: 0,
    keys: 0,
    functions: 0,
    startedAt: '2026-11-21T09:17:00.000Z',
    tookMs: 0,
  },
});

export interface TimelineParts {
  readonly id?: string;
  readonly takeovers?: readonly number[];
  readonly segments: readonly SegmentName[];
  readonly end?: number;
  readonly because?: string;
  readonly began?: number;
  readonly beganBecause?: Timeline['begin']['because'];
  readonly shard?: number;
  readonly slots?: string;
}

export const timeline = ({
  id = '20261121T091700Z-00000000',
  takeovers = [],
  segments,
  end,
  because = 'gap',
  began = 0,
  beganBecause = 'first',
  shard = 0,
  slots = '0-16383',
}: TimelineParts): Timeline => ({
  begin: {
    format: 'holdfast-archive-1',
    id,
    cluster: 'c',
    clusterId: '00000000-0000-4000-8000-000000000000',
    shard,
    base: base(0, { slots }).data,
    because: beganBecause,
    began: new Date(began).toISOString(),
  },
  replids: [{ replid: replidOf(0), offset: 0 }, ...takeovers.map((offset, at) => ({ replid: replidOf(at + 1), offset }))],
  slots: [{ slots, offset: 0, ms: began }],
  ...(end === undefined ? {} : { end: { offset: end, because } }),
  segments,
});
