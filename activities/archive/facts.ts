import type { z } from 'zod';
import { archiveFacts, type FactKind } from '../../config/archive.ts';
import { backupKeys, type FactName } from '../../config/names.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/** Writes down what became of a timeline at an offset. Never changed: another word is another object. */
export async function putFact<K extends FactKind>(
  store: ObjectStore,
  name: Omit<FactName, 'ms' | 'kind'> & { readonly kind: K },
  value: z.input<(typeof archiveFacts)[K]>,
): Promise<void> {
  const key = backupKeys.fact({ ...name, ms: Date.now() });
  await store.put(key, `${JSON.stringify(archiveFacts[name.kind].parse(value))}\n`);
}
