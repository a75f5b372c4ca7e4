import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { failures } from '../../config/failures.ts';
import type { MasterKeyIds } from '../../config/keys.ts';
import type { Settings } from '../../config/settings.ts';
import { fatal, messageOf } from '../support/failure.ts';

/**
 * The master keys that a worker has. The first one seals; each of them opens what is sealed under it. More than one is for the time in which
 * they are changed.
 */
export type MasterKeys = readonly [Uint8Array, ...Uint8Array[]];

/** First 16 hex digits of its SHA-256: may be shown. */
export const masterKeyId = (masterKey: Uint8Array): string => createHash('sha256').update(masterKey).digest('hex').slice(0, 16);

const KEY_BYTES = 32;

/**
 * Reads master keys: one or several, a line each, or with commas between; each 32 bytes in base64.
 * @throws Error when there is none, or one is no such key
 */
export function parseMasterKeys(text: string): MasterKeys {
  const parts = text.split(/[\s,]+/).filter((part) => part !== '');
  const keys = parts.map((part, at) => {
    const key = Buffer.from(part, 'base64');
    if (key.length !== KEY_BYTES)
      throw new Error(
        `${parts.length === 1 ? 'the master key' : `master key ${at + 1} of ${parts.length}`} must be ${KEY_BYTES} bytes in base64 (make one: openssl rand -base64 32); this one has ${key.length}`,
      );
    return key;
  });
  const [first, ...others] = [...new Map(keys.map((key) => [masterKeyId(key), key])).values()];
  if (first === undefined)
    throw new Error(`the master key must be ${KEY_BYTES} bytes in base64 (make one: openssl rand -base64 32); there is none`);
  return [first, ...others];
}

/** The master keys of a worker's settings. @throws WrongMasterKey when there is none, or it cannot be used */
export async function readMasterKeys(settings: Settings): Promise<MasterKeys> {
  const { HOLDFAST_MASTER_KEY: inline, HOLDFAST_MASTER_KEY_FILE: file } = settings;
  if (inline === undefined && file === undefined)
    throw fatal(
      failures.wrongMasterKey,
      'the worker has no master key: set HOLDFAST_MASTER_KEY_FILE (make one: openssl rand -base64 32 > master.key)',
    );
  const text = inline ?? (await readFile(file ?? '', 'utf8').catch(unreadable));
  try {
    return parseMasterKeys(text);
  } catch (error) {
    throw fatal(failures.wrongMasterKey, messageOf(error)); // trying again does not mend it
  }
}

const unreadable = (error: unknown): never => {
  throw fatal(failures.wrongMasterKey, `the master key cannot be read: ${messageOf(error)}`);
};

export const idsOf = ([current, ...others]: MasterKeys): MasterKeyIds => ({
  current: masterKeyId(current),
  others: others.map(masterKeyId),
});

/** For a message: those that a worker has. */
export const namesOf = (keys: MasterKeys): string => keys.map(masterKeyId).join(' and ');
