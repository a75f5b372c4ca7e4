import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import { assess, type Health } from '../../model/health.ts';
import { fatal } from '../support/failure.ts';
import { until } from '../support/until.ts';
import { type ObserveDeps, observe } from './observe.ts';

const FORMED_WITHIN_MS = 60_000;

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
  return until(
    async () => {
      const observation = await observe(deps, { cluster: spec.name, tls: spec.security.tls, parameters: [] });
      last = assess(spec, observation);
      look(last);
      return last.verdict === 'healthy' ? { headline: last.headline } : undefined;
    },
    {
      timeoutMs: FORMED_WITHIN_MS,
      everyMs: 200,
      late: () => {
        const findings = (last?.findings ?? []).map((finding) => `${finding.subject}: ${finding.message}`);
        return fatal(
          failures.verificationFailed,
          `${spec.name} did not form within ${FORMED_WITHIN_MS / 1000} s:\n${findings.join('\n')}`,
          findings,
        );
      },
    },
  );
}
