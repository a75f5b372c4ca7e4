import { expect, test } from 'vitest';
import { splitAtSilence } from '../../activities/archive/silence.ts';
import { encodeCommand } from '../../activities/redis/protocol.ts';
import type { Stretch } from '../../activities/replication/stretch.ts';
import { StretchBuilder } from '../../activities/replication/stretch.ts';
import { MOST_UNSTAMPED_MS } from '../../model/recovery/archive.ts';

const START_MS = 1_795_000_000_000;
const command = (...words: readonly string[]) => Buffer.from(encodeCommand(words) as string);
const stamp = (ms: number) => command('SET', 'holdfast:clock:{t}', '60000', 'PXAT', String(START_MS + ms + 60_000));
const stretchOf = (...commands: readonly Buffer[]): Stretch => {
  const builder = new StretchBuilder(100, 0);
  for (const one of commands) builder.add(one);
  const stretch = builder.take();
  if (stretch === undefined) throw new Error('it is empty');
  return stretch;
};
const firstAndLast = (parts: readonly Stretch[]) => parts.map(({ stamps }) => stamps.map(({ timeMs }) => timeMs - START_MS));

test('writes of a time that nobody told begin in a part of their own, and no byte is lost', () => {
  const late = MOST_UNSTAMPED_MS + 600;
  const stretch = stretchOf(
    stamp(400),
    command('SELECT', '3'),
    stamp(500),
    command('SET', 'when', '?'),
    stamp(500 + late),
    stamp(700 + late),
  );
  const parts = splitAtSilence(stretch, START_MS + 300);
  expect(firstAndLast(parts)).toEqual([
    [400, 500],
    [500 + late, 700 + late],
  ]);
  expect(Buffer.concat(parts.map(({ bytes }) => bytes))).toEqual(stretch.bytes);
  expect(parts.map(({ startOffset, endOffset, bytes }) => endOffset - startOffset - bytes.length)).toEqual([0, 0]);
  expect(parts.map(({ startDb, endDb }) => [startDb, endDb])).toEqual([
    [0, 3],
    [3, 3],
  ]);
  expect(parts[1]?.bytes.toString()).toContain('when');
});

test('a silence that began before a stretch leaves its first part empty, and none leaves it whole', () => {
  const stretch = stretchOf(command('SET', 'when', '?'), stamp(400));
  expect(splitAtSilence(stretch, START_MS + 400 - MOST_UNSTAMPED_MS)).toEqual([stretch]);
  const parts = splitAtSilence(stretch, START_MS + 399 - MOST_UNSTAMPED_MS);
  expect(parts.map(({ bytes }) => bytes.length)).toEqual([0, stretch.bytes.length]);
});
