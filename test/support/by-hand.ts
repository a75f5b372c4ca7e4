import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { ObjectStore } from '../../activities/storage/object-store.ts';
import { checkout } from '../../scripts/setup/home.ts';

/** A folder away from the checkout: copies of objects under their keys, `master.key`, and the script of the documentation. */
export interface FolderByHand extends Disposable {
  readonly path: string;
  /** Runs a command in it, with nothing in its way but what it prints. @throws Error with what it said when it fails */
  run(command: string, ...args: readonly string[]): Buffer;
}

export async function folderByHand(
  store: Pick<ObjectStore, 'get'>,
  keys: readonly string[],
  masterKey: Uint8Array | string,
): Promise<FolderByHand> {
  const path = mkdtempSync(join(tmpdir(), 'holdfast-by-hand-'));
  for (const key of keys) {
    mkdirSync(dirname(join(path, key)), { recursive: true });
    writeFileSync(join(path, key), (await store.get(key)) ?? '');
  }
  writeFileSync(join(path, 'master.key'), typeof masterKey === 'string' ? masterKey : Buffer.from(masterKey).toString('base64'));
  copyFileSync(join(checkout, 'docs', 'open-sealed.mjs'), join(path, 'open-sealed.mjs'));
  return {
    path,
    run(command, ...args) {
      const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: path, maxBuffer: 1024 ** 3 });
      if (status !== 0) throw new Error(`${command}: ${error?.message ?? stderr.toString()}`);
      return stdout;
    },
    [Symbol.dispose]: () => rmSync(path, { recursive: true }),
  };
}
