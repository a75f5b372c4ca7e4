import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import { assess, type Health } from '../../model/health.ts';
import { fatal } from '../support/failure.ts';
import { until } from '../support/until.ts';
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
      last = assess(spec, await observe(deps, { cluster: spec.name, tls: spec.security.tls, parameters: [] }));
      look(last);
      if (last.sound) return { headline: last.headline };
      if (last.findings.some(({ code }) => AT_WORK.has(code))) deadline = Date.now() + FORMED_WITHIN_MS;
      if (Date.now() > deadline) throw notFormed(spec, last);
      return undefined;
    },
    { timeoutMs: Number.POSITIVE_INFINITY, everyMs: 300, late: () => new Error('never') },
  );
}

function notFormed(spec: ClusterSpec, { findings }: Health): Error {
  const amiss = findings.map(({ subject, message }) => `${subject}: ${message}`);
  return fatal(
    failures.verificationFailed,
    `${spec.name} is not as its spec says, ${FORMED_WITHIN_MS / 1000} s after its servers were done:\n${amiss.join('\n')}`,
    findings,
  );
}
