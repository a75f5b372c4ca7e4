import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import { assess, type Health } from '../../model/health.ts';
import { strays } from '../../model/migration/shards-now.ts';
import type { Observation } from '../../model/observation.ts';
import { fatal } from '../support/failure.ts';
import { until } from '../support/until.ts';
import { asOperator, pipeline, withNode } from './connection.ts';
import { type ObserveDeps, observe } from './observe.ts';

const FORMED_WITHIN_MS = 60_000;

/** While one of these is found the servers are at work, and the time does not count: loading and copying take as long as there is data. */
const AT_WORK = new Set(['loading', 'replica-syncing']);

/**
 * Waits until every node agrees with every other and with the spec. The servers do the forming: they start with a nodes.conf, or with the
 * address of their primary.
 * @throws VerificationFailed with what was still amiss at the end.
 */
export async function awaitFormed(
  deps: ObserveDeps,
  spec: ClusterSpec,
  look: (health: Health) => void,
): Promise<{ readonly headline: string }> {
  let last: Health | undefined;
  let deadline = Date.now() + FORMED_WITHIN_MS;
  return until(
    async () => {
      const seen = await observe(deps, { cluster: spec.name, tls: spec.security.tls, parameters: [] });
      last = assess(spec, seen);
      look(last);
      await reattach(deps, spec, seen);
      if (last.sound) return { headline: last.headline };
      if (last.findings.some(({ code }) => AT_WORK.has(code))) deadline = Date.now() + FORMED_WITHIN_MS;
      if (Date.now() > deadline) throw notFormed(spec, last);
      return undefined;
    },
    { timeoutMs: Number.POSITIVE_INFINITY, everyMs: 300, late: () => new Error('never') },
  );
}

/** Primaries that lost their slots to another of their shard follow it. The servers refuse it for one that still holds keys. */
async function reattach({ secrets }: ObserveDeps, spec: ClusterSpec, seen: Observation): Promise<void> {
  const found = spec.mode === 'cluster' ? strays(spec, seen) : [];
  if (found.length === 0) return;
  const held = await secrets.require(spec.name);
  for (const { address, primaryId } of found) {
    const target = asOperator(held, spec.security.tls, { kind: 'data', address });
    await withNode(target, (node) => pipeline(node, [['CLUSTER', 'REPLICATE', primaryId]])).catch(() => undefined); // it is looked at again
  }
}

function notFormed(spec: ClusterSpec, { findings }: Health): Error {
  const amiss = findings.map(({ subject, message }) => `${subject}: ${message}`);
  return fatal(
    failures.verificationFailed,
    `${spec.name} is not as its spec says, ${FORMED_WITHIN_MS / 1000} s after its servers were done:\n${amiss.join('\n')}`,
    findings,
  );
}
