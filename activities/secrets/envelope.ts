import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { failures } from '../../config/failures.ts';
import { fatal } from '../support/failure.ts';
import { type MasterKeys, masterKeyId, namesOf } from './master-keys.ts';

/**
 * Small sealed objects. The plaintext is encrypted under a data key of its own, and that under the master key (AES-256-GCM both times), so
 * that a new master key means rewrapping and not re-encrypting. The object's key is authenticated: an envelope cannot be moved elsewhere.
 */
interface Envelope {
  readonly format: 'holdfast-envelope-1';
  /** First 16 hex digits of the master key's SHA-256: tells a wrong key from a damaged object. */
  readonly masterKeyId: string;
  readonly wrappedKey: string;
  readonly sealed: string;
}

const KEY_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** AES-256-GCM under a random nonce: nonce, ciphertext and tag in one. */
export function encrypt(key: Uint8Array, plain: Uint8Array, aad: string): Buffer {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(aad));
  return Buffer.concat([iv, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** Opens what `encrypt` made. @throws Error when it is not whole, or the key or `aad` is another one. */
export function decrypt(key: Uint8Array, sealed: Buffer, aad: string): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES })
    .setAAD(Buffer.from(aad))
    .setAuthTag(sealed.subarray(-TAG_BYTES));
  return Buffer.concat([decipher.update(sealed.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]);
}

/** Seals bytes for one object key. */
export function seal(masterKey: Uint8Array, objectKey: string, plain: Uint8Array): string {
  const dataKey = randomBytes(KEY_BYTES);
  const envelope: Envelope = {
    format: 'holdfast-envelope-1',
    masterKeyId: masterKeyId(masterKey),
    wrappedKey: encrypt(masterKey, dataKey, `wrap:${objectKey}`).toString('base64'),
    sealed: encrypt(dataKey, plain, `data:${objectKey}`).toString('base64'),
  };
  return JSON.stringify(envelope);
}

/**
 * Opens what `seal` made for the same object key.
 * @throws WrongMasterKey when it was sealed under another master key than these, or was altered.
 */
export function open(masterKeys: MasterKeys, objectKey: string, text: string): Buffer {
  const envelope = readEnvelope(text);
  if (envelope === undefined) throw damaged(objectKey);
  const masterKey = masterKeys.find((one) => masterKeyId(one) === envelope.masterKeyId);
  if (masterKey === undefined) {
    throw fatal(
      failures.wrongMasterKey,
      `${objectKey} was sealed under master key ${envelope.masterKeyId}, this worker has ${namesOf(masterKeys)}: give the worker the key that was used`,
    );
  }
  try {
    return decrypt(
      decrypt(masterKey, Buffer.from(envelope.wrappedKey, 'base64'), `wrap:${objectKey}`),
      Buffer.from(envelope.sealed, 'base64'),
      `data:${objectKey}`,
    );
  } catch {
    throw damaged(objectKey);
  }
}

/** Id of the master key that an envelope was sealed under. @throws WrongMasterKey when it is no whole envelope */
export function sealedUnder(objectKey: string, text: string): string {
  const envelope = readEnvelope(text);
  if (envelope === undefined) throw damaged(objectKey);
  return envelope.masterKeyId;
}

/** Undefined when it is no envelope, or not a whole one. */
function readEnvelope(text: string): Envelope | undefined {
  try {
    const envelope = JSON.parse(text) as Partial<Envelope> | null;
    const { masterKeyId, wrappedKey, sealed } = envelope ?? {};
    if (envelope?.format !== 'holdfast-envelope-1') return undefined;
    return typeof masterKeyId === 'string' && typeof wrappedKey === 'string' && typeof sealed === 'string'
      ? { format: envelope.format, masterKeyId, wrappedKey, sealed }
      : undefined;
  } catch {
    return undefined; // cut short: no JSON any more
  }
}

const damaged = (objectKey: string) =>
  fatal(failures.wrongMasterKey, `${objectKey} does not open: it was altered or cut short after it was sealed; put back an intact copy`);
