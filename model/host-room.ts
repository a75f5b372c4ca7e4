import type { ClusterSpec } from '../config/cluster-spec.ts';
import type { ObservedHost } from './observation.ts';
import { mib } from './words.ts';

/** Why a host cannot give the limits of a spec. @param moreBytes memory to promise beyond what is promised now. */
export function refuseLimits(spec: ClusterSpec, host: ObservedHost, moreBytes: number): readonly string[] {
  const refusals: string[] = [];
  const left = Math.max(0, host.memoryBytes - host.promisedBytes);
  if (moreBytes > left)
    refusals.push(
      `host ${host.name} has ${mib(left)} of memory left to promise, and this needs ${mib(moreBytes)}: lower resources.memory, or remove a cluster`,
    );
  if (spec.resources.cpus > host.cpus)
    refusals.push(`host ${host.name} has ${host.cpus} CPUs, and a node shall have ${spec.resources.cpus}: lower resources.cpus`);
  return refusals;
}
