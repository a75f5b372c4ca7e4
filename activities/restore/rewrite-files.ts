import { failures } from '../../config/failures.ts';
import { defaultRules } from '../../model/server-conf.ts';
import { pipeline, pipelineAll, withNode } from '../redis/connection.ts';
import { parseInfo } from '../redis/parse.ts';
import { report } from '../support/beating.ts';
import { fatal } from '../support/failure.ts';
import { until } from '../support/until.ts';
import { type PlacedNode, type ReachDeps, reachNode } from './reach-node.ts';

/** As long as a fork of much memory takes to write it down. */
const REWRITTEN_WITHIN_MS = 6 * 3_600_000;

/**
 * A server has written its append-only files anew since it was started: the script at the end of what it was given is not run again. And the default user, by whose rules that went, has none.
 * @throws HostFull
 */
export async function rewriteFiles(deps: ReachDeps, node: PlacedNode): Promise<void> {
  const { place } = node;
  const target = await reachNode(deps, node);
  let failed = 0;
  await until(
    () =>
      withNode(target, async (node) => {
        const info = parseInfo(await node.info());
        report({ node: place.name, rewrites: info.get('aof_rewrites') });
        if (info.get('aof_rewrite_in_progress') === '1' || info.get('aof_rewrite_scheduled') === '1') return undefined;
        const begun = Number(info.get('aof_rewrites') ?? 0) > 0;
        if (begun && info.get('aof_last_bgrewrite_status') === 'ok') {
          await pipelineAll(node, [
            ['ACL', 'SETUSER', 'default', 'off', ...defaultRules.usual.split(' ')],
            ['ACL', 'SAVE'],
          ]);
          return true;
        }
        if (begun && ++failed > 3)
          throw fatal(
            failures.hostFull,
            `${place.name} cannot write its append-only file anew: is its disk full? docker logs ${place.name}`,
          );
        await pipeline(node, [['BGREWRITEAOF']]); // refused while another child runs: it is asked again
        return undefined;
      }),
    {
      timeoutMs: REWRITTEN_WITHIN_MS,
      everyMs: 200,
      late: () => fatal(failures.nodeSilent, `${place.name} does not get on with its append-only file`),
    },
  );
}
