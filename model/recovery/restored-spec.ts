import { type ClusterSpec, clusterSpec } from '../../config/cluster-spec.ts';
import { type Parsed, parseInput } from '../../config/input.ts';

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Fields within fields are changed one by one; a list is replaced as a whole. */
function changed(before: Fields, changes: Fields): Fields {
  const merged = Object.entries(changes).map(([name, value]) => {
    const former = before[name];
    return [name, isFields(former) && isFields(value) ? changed(former, value) : value];
  });
  return { ...before, ...Object.fromEntries(merged) };
}

/**
 * The spec of a cluster that gets another one's data: what that one had, under the new name, with what a person wants otherwise. Its subnet may still be in use, so
 * another one is taken unless one is asked for.
 */
export function restoredSpec(kept: Fields, into: string, changes: Fields): Parsed<ClusterSpec> {
  const { subnet: _, ...network } = isFields(kept.network) ? kept.network : {};
  // In the other mode, and with other shards, these follow anew from the rest.
  const dropped = 'mode' in changes && changes.mode !== kept.mode ? { shards: undefined, sentinels: undefined } : {};
  return parseInput(clusterSpec, { ...changed({ ...kept, ...dropped, network }, changes), name: into }, `restore into ${into}`);
}
