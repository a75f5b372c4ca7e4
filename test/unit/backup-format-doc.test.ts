import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createKeyRing } from '../../activities/backup/key-ring.ts';
import { sealStream } from '../../activities/backup/seal.ts';
import { masterKeyId } from '../../activities/secrets/master-keys.ts';
import { archiveFacts, segmentAbout, timelineBegin } from '../../config/archive.ts';
import { backupManifest, shardBackup, verification } from '../../config/backup.ts';
import { backupKeys } from '../../config/names.ts';
import { sealedFacts, sealedHeader } from '../../config/sealed.ts';
import { memoryStore } from '../support/memory-store.ts';
import { inChunks, takenApart } from './backup-objects.ts';

const doc = readFileSync('docs/backup-format.md', 'utf8');
const script = readFileSync('docs/open-sealed.mjs', 'utf8');

const masterKey = randomBytes(32);
const store = memoryStore();
/** Away from the checkout: the script has nothing but itself, and the files that it is given. */
const folder = mkdtempSync(join(tmpdir(), 'holdfast-format-'));
const plain = Buffer.concat([randomBytes(2_500_000), Buffer.alloc(2_500_000, 'user:1000;')]);
const objectKey = (compression: string) => backupKeys.shard('orders', '20261121T091700Z-0123abcd', 0, compression);
let keyFile = '';

function put(name: string, bytes: Uint8Array | string): void {
  mkdirSync(dirname(join(folder, name)), { recursive: true });
  writeFileSync(join(folder, name), bytes);
}

const openByScript = (file: string, key = 'master.key') =>
  spawnSync(process.execPath, ['open-sealed.mjs', key, keyFile, file], { cwd: folder, env: {}, maxBuffer: 64 * 1024 ** 2 });

beforeAll(async () => {
  copyFileSync('docs/open-sealed.mjs', join(folder, 'open-sealed.mjs'));
  put('master.key', `${masterKey.toString('base64')}\n`);
  put('other.key', randomBytes(32).toString('base64'));
  const kek = await createKeyRing(store, [masterKey], 'orders').current();
  for (const compression of ['zstd', 'none'] as const)
    put(
      objectKey(compression),
      await buffer(sealStream(inChunks(plain, 65_536), { kek, content: 'rdb', compression, about: { cluster: 'orders' } }).bytes),
    );
  put(objectKey('empty'), await buffer(sealStream(inChunks(Buffer.alloc(0), 1), { kek, content: 'rdb' }).bytes));
  for (const [name, bytes] of store.objects) put(name, bytes);
  keyFile = backupKeys.keyCopy('orders', kek.id, masterKeyId(masterKey));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('the script of the documentation', () => {
  test('uses nothing but Node', () => {
    const imports = [...script.matchAll(/from '([^']+)'|import\(/g)].map((match) => match[1]);
    expect(imports.length).toBeGreaterThan(3);
    for (const name of imports) expect(name).toMatch(/^node:/);
  });

  test.each(['zstd', 'none'])('opens an object (%s) with the master key, the key’s envelope and the object, as files', (compression) => {
    const { status, stdout, stderr } = openByScript(objectKey(compression));
    expect(stderr.toString()).toBe('');
    expect(status).toBe(0);
    expect(stdout.equals(plain)).toBe(true);
  });

  test('opens an object without content', () => {
    const { status, stdout } = openByScript(objectKey('empty'));
    expect([status, stdout.length]).toEqual([0, 0]);
  });

  test('refuses another master key', () => {
    expect(openByScript(objectKey('none'), 'other.key')).toMatchObject({ status: 1, stdout: Buffer.alloc(0) });
  });

  test('refuses a frame that was altered, left out or moved, an altered line, and an end that was cut off or prolonged', () => {
    const { header, frames } = takenApart(readFileSync(join(folder, objectKey('none'))));
    const [first = Buffer.alloc(0), second = Buffer.alloc(0), ...others] = frames;
    const altered = Buffer.from(second);
    altered[100] = (altered[100] ?? 0) ^ 1;
    const line = Buffer.from(header.toString().replace('"cluster":"orders"', '"cluster":"others"'));
    const wrong: Record<string, { readonly parts: readonly Buffer[]; readonly says: string }> = {
      altered: { parts: [header, first, altered, ...others], says: 'frame 1 does not open' },
      leftOut: { parts: [header, first, ...others], says: 'frame 1 does not open' },
      moved: { parts: [header, second, first, ...others], says: 'frame 0 does not open' },
      line: { parts: [line, ...frames], says: 'the header does not open' },
      cutOff: { parts: [header, first, second], says: 'frame 2 is missing' },
      prolonged: { parts: [header, ...frames, first], says: 'bytes follow' },
    };
    for (const [name, { parts, says }] of Object.entries(wrong)) {
      put(name, Buffer.concat(parts));
      const { status, stderr } = openByScript(name);
      expect([name, status, stderr.toString()]).toEqual([name, 1, expect.stringContaining(says)]);
    }
  });
});

test.runIf(spawnSync('zstd', ['--version']).status === 0)('what is compressed is read by the zstd of any system', () => {
  // The script, short of its last step.
  put('frames.mjs', script.replace(/if \(header\.compression === 'zstd'\).*\nelse /, ''));
  const { stdout } = spawnSync(process.execPath, ['frames.mjs', 'master.key', keyFile, objectKey('zstd')], {
    cwd: folder,
    maxBuffer: 64 * 1024 ** 2,
  });
  expect(execFileSync('zstd', ['-d'], { input: stdout, maxBuffer: 64 * 1024 ** 2 }).equals(plain)).toBe(true);
});

describe('the documentation', () => {
  test('names every field of the manifest and of a sealed object', () => {
    const schemas = { backupManifest, shardBackup, verification, sealedFacts, sealedHeader, timelineBegin, segmentAbout, ...archiveFacts };
    for (const [name, { shape }] of Object.entries(schemas))
      for (const field of Object.keys(shape)) expect(doc, `${name}.${field}`).toMatch(new RegExp(`\`${field}\``));
  });

  test('names every kind of fact, and every reason', () => {
    const words = [...Object.keys(archiveFacts), ...timelineBegin.shape.because.options, ...archiveFacts.end.shape.because.options];
    for (const word of words) expect(doc, word).toMatch(new RegExp(`\`${word}\``));
  });

  test('has the layout of keys that Holdfast uses', () => {
    const place = { cluster: '<cluster>', shard: 7, timeline: '<timeline>' };
    const segment = { ...place, startOffset: 1, endOffset: 2, firstMs: 3, lastMs: 4, stream: '<stream>' };
    const layout = [
      backupKeys.manifest('<cluster>', '<backup>'),
      backupKeys.shard('<cluster>', '<backup>', 7, '<unique>').replace('7', '<n>'),
      backupKeys.keyCopy('<cluster>', '<kek>', '<masterKeyId>'),
      backupKeys
        .segment(segment)
        .replace('/7/', '/<shard>/')
        .replace(/\d{16}-\d{16}-\d{13}-\d{13}/, '<startOffset>-<endOffset>-<firstMs>-<lastMs>'),
      backupKeys.begin('<cluster>', 7, '<timeline>').replace('/7/', '/<shard>/'),
      backupKeys.base('<cluster>', 7, '<timeline>', '<unique>').replace('/7/', '/<shard>/'),
      backupKeys
        .fact({ ...place, kind: '<kind>', offset: 1, ms: 2 })
        .replace('/7/', '/<shard>/')
        .replace(/\d{16}-\d{13}/, '<offset>-<ms>'),
    ];
    for (const key of layout) expect(doc).toContain(`\`${key}\``);
  });
});
