import { expect, test } from 'vitest';
import { isCopied } from '../../activities/migration/wait-for-copy.ts';

const info = (...followers: readonly (readonly [port: number, offset: number])[]) =>
  [
    'role:master',
    ...followers.map(([port, offset], at) => `slave${at}:ip=10.0.0.${at},port=${port},state=online,offset=${offset},lag=0`),
    'master_repl_offset:100',
  ].join('\r\n');

test('an archiver’s word that it has stored a write is no copy of it, and a replica’s is', () => {
  expect(isCopied([info(), 1, info([6379, 100])])).toBe(true);
  expect(isCopied([info(), 0, info([6379, 90])])).toBe(false);
  expect(isCopied([info(), 1, info([0, 100])])).toBe(false);
  expect(isCopied([info(), 1, info([0, 100], [6379, 90])])).toBe(false);
  expect(isCopied([info(), 1, info([0, 90], [6379, 100])])).toBe(true);
  expect(isCopied([])).toBe(false);
});
