import { describe, expect, test } from 'vitest';
import { type BackupDamage, type BackupManifest, isVerified, type Verification } from '../../config/backup.ts';
import { failures } from '../../config/failures.ts';
import { withDamage, withVerification } from '../../model/recovery/verification.ts';

const at = '2026-11-21T09:18:00.000Z';
const found = (how: Verification['how']): Verification => ({ how, at, tookMs: 1, shards: [] });
const damage = (type: string): BackupDamage => ({ at, type, why: 'a test' });
const stored = {} as BackupManifest;
const says = ({ verified, damaged }: BackupManifest) => [verified?.how, damaged?.type];

describe('a backup may be called verified', () => {
  test('only when a server has loaded it and nothing was found amiss since', () => {
    expect(isVerified(stored)).toBe(false);
    expect(isVerified(withVerification(stored, found('opened')))).toBe(false);
    const good = withVerification(stored, found('loaded'));
    expect(isVerified(good)).toBe(true);
    expect(isVerified(withDamage(good, damage(failures.objectDamaged)))).toBe(false);
  });

  test('still when its bytes alone were read later, and again when a damaged object was put back', () => {
    const good = withVerification(stored, found('loaded'));
    expect(isVerified(withVerification(good, found('opened')))).toBe(true);
    const damaged = withDamage(good, damage(failures.objectMissing));
    expect(says(damaged)).toEqual(['loaded', failures.objectMissing]);
    expect(isVerified(withVerification(damaged, found('opened')))).toBe(true);
  });

  test('not when a server could not load it and its bytes alone were read since', () => {
    const bad = withDamage(stored, damage(failures.backupNotGood));
    expect(says(withVerification(bad, found('opened')))).toEqual(['opened', failures.backupNotGood]);
    expect(says(withVerification(bad, found('loaded')))).toEqual(['loaded', undefined]);
  });
});
