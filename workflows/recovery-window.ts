import { type RecoveryWindow, recoveryWindowInput } from '../config/archive.ts';
import { plainly } from './support/failure.ts';
import { readInput } from './support/input.ts';
import { controlReads } from './support/proxies.ts';

/** Where a cluster can be brought back to, and every gap; also one that is gone. Takes no lock: it only looks. */
export async function recoveryWindow(raw: unknown): Promise<RecoveryWindow> {
  const { cluster } = readInput(recoveryWindowInput, raw, 'recoveryWindow');
  return plainly(() => controlReads.readRecoveryWindow(cluster));
}
