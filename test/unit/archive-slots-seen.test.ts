import { describe, expect, test } from 'vitest';
import { afterLook, afterWriting, changedSince } from '../../activities/archive/slots-seen.ts';

const look = (slots: string, ms: number, sinceMs?: number) => ({
  slots,
  open: false,
  offset: 7,
  ms,
  ...(sinceMs === undefined ? {} : { sinceMs }),
});
const known = { slots: '0-99', open: false };
const KNOWN_MS = 1000;

describe('until when slots were as they were written down', () => {
  test('the first look of an attempt that sees the same changes nothing', () => {
    expect(changedSince(afterLook(undefined, look('0-99', 5000)), known, KNOWN_MS)).toBeUndefined();
  });

  test('one that sees others says nothing of the time before it', () => {
    expect(changedSince(afterLook(undefined, look('0-49', 5000)), known, KNOWN_MS)).toBe(KNOWN_MS);
  });

  test('slots that move before the first look is written down: until the last look that saw them still', () => {
    const first = afterLook(undefined, look('0-99', 5000));
    const second = afterLook(first, look('0-49', 7100, 7000));
    expect(changedSince(second, known, KNOWN_MS)).toBe(7000);
    expect(changedSince(afterLook(second, look('0-9', 8000, 7900)), known, KNOWN_MS)).toBe(7000);
  });

  test('not when the first look saw others already', () => {
    const first = afterLook(undefined, look('0-49', 5000));
    expect(changedSince(afterLook(first, look('0-9', 7100, 7000)), known, KNOWN_MS)).toBe(KNOWN_MS);
  });

  test('of two changes that were not written down the first one counts', () => {
    const first = afterLook(undefined, look('0-49', 7100, 7000));
    expect(changedSince(afterLook(first, look('0-9', 8000, 7900)), known, KNOWN_MS)).toBe(7000);
  });

  test('what was seen while another look was written down happened after that one', () => {
    const written = afterLook(afterLook(undefined, look('0-99', 5000)), look('0-49', 7100, 7000));
    expect(afterWriting(written, written)).toBeUndefined();
    const left = afterWriting(afterLook(written, look('0-9', 8000, 7900)), written);
    expect(left).toEqual(look('0-9', 8000, 7100));
  });
});
