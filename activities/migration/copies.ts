import { parseInfo } from '../redis/parse.ts';
import type { Wire } from '../redis/wire.ts';

/** A replica that is further behind has no copy of what arrives now. */
const MOST_BEHIND_BYTES = 8 * 1024 ** 2;

/**
 * Why what a primary takes now would be without a copy; undefined when one of its replicas follows closely.
 * @param replicas addresses of the cluster's own nodes that may follow it: others read the stream too, and are no copies
 */
export async function whyWithoutCopy(primary: Wire, replicas: ReadonlySet<string>): Promise<string | undefined> {
  const fields = parseInfo(String(await primary.one('INFO', 'replication')));
  const end = Number(fields.get('master_repl_offset') ?? 0);
  const followers = [...fields]
    .filter(([name]) => /^slave\d+$/.test(name))
    .map(([, text]) => new Map(text.split(',').map((part) => part.split('=', 2) as [string, string])))
    .filter((one) => replicas.has(one.get('ip') ?? '') && one.get('state') === 'online');
  if (followers.length === 0) return 'no replica follows it';
  const behind = Math.min(...followers.map((one) => end - Number(one.get('offset') ?? 0)));
  return behind > MOST_BEHIND_BYTES ? `its replica is ${Math.round(behind / 1024 ** 2)} MiB behind` : undefined;
}
