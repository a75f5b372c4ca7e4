import type { ClusterSpec } from '../config/cluster-spec.ts';
import { canonicalJson } from './layout.ts';

/** A field of a spec that differs: `pitr.enabled: false -> true`. */
export interface SpecChange {
  readonly field: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** Fields that differ between two specs, by name. Lists count as one field. */
export const specChanges = (former: ClusterSpec, spec: ClusterSpec): readonly SpecChange[] => changesOf('', former, spec);

function changesOf(path: string, before: unknown, after: unknown): readonly SpecChange[] {
  if (canonicalJson(before ?? null) === canonicalJson(after ?? null)) return [];
  if (!isFields(before) || !isFields(after)) return [{ field: path, before, after }];
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].toSorted();
  return names.flatMap((name) => changesOf(path === '' ? name : `${path}.${name}`, before[name], after[name]));
}

const isFields = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
