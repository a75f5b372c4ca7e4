import type { ClusterMember } from '../../model/observation.ts';
import { parseRange, type SlotRange } from '../../model/slots.ts';

/** INFO's lines as a map. */
export function parseInfo(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const at = line.indexOf(':');
    if (at > 0 && !line.startsWith('#')) fields.set(line.slice(0, at), line.slice(at + 1));
  }
  return fields;
}

/**
 * Replicas that are online, as `INFO replication` of their primary lists them. An archiver follows the stream as one too, but announces port 0: it holds
 * no copy that could be promoted.
 */
export function onlineReplicas(info: ReadonlyMap<string, string>): readonly OnlineReplica[] {
  return [...info]
    .filter(([name]) => /^slave\d+$/.test(name))
    .map(([, line]) => new Map(line.split(',').map((part) => part.split('=', 2) as [string, string])))
    .filter((one) => one.get('state') === 'online' && one.get('port') !== '0')
    .map((one) => ({
      address: one.get('ip') ?? '',
      offset: Number(one.get('offset') ?? 0),
      silentSeconds: Number(one.get('lag') ?? Number.POSITIVE_INFINITY),
    }));
}

/**
 * How many replicas SENTINEL REPLICAS lists. Whatever followed the primary once stands among them until a SENTINEL RESET, and in the `num-slaves` of
 * SENTINEL MASTER: an archiver, or a backup of the primary, with port 0.
 */
export const realReplicas = (listed: readonly (readonly string[])[]): number => listed.filter((one) => pairs(one).port !== '0').length;

export interface OnlineReplica {
  readonly address: string;
  /** What it has acknowledged, in bytes of the stream. */
  readonly offset: number;
  /** Since it did so; it does each second. */
  readonly silentSeconds: number;
}

/** One line of CLUSTER NODES, and what the node that answered thinks of that peer. */
export interface ParsedMember extends ClusterMember {
  readonly myself: boolean;
  readonly linked: boolean;
  readonly openSlots: readonly string[];
}

/** `CLUSTER NODES`: id ip:port@cport[,host[,aux]] flags primary ping pong epoch link-state slots... */
export function parseClusterNodes(text: string): readonly ParsedMember[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [nodeId = '', where = '', flagList = '', primary = '-', , , epoch = '0', link = '', ...rest] = line.trim().split(' ');
      const flags = flagList.split(',');
      const ranges: SlotRange[] = rest.filter((word) => !word.startsWith('[')).map(parseRange);
      return {
        nodeId,
        address: where.slice(0, where.lastIndexOf(':')),
        role: flags.includes('master') ? ('primary' as const) : ('replica' as const),
        primaryId: primary === '-' ? '' : primary,
        epoch: Number(epoch),
        slots: ranges,
        flags: flags.filter((flag) => ['fail', 'fail?', 'handshake', 'noaddr'].includes(flag)),
        myself: flags.includes('myself'),
        linked: link === 'connected',
        openSlots: rest.filter((word) => word.startsWith('[')),
      };
    });
}

/** ACL LIST: each user with its rules, without password hashes. */
export function parseAclList(lines: readonly string[]): Readonly<Record<string, string>> {
  const users: Record<string, string> = {};
  for (const line of lines) {
    const [, name = '', ...rules] = line.split(' ');
    users[name] = rules.filter((rule) => !rule.startsWith('#')).join(' ');
  }
  return users;
}

/** A flat `[name, value, ...]` reply as a record. */
export function pairs(flat: readonly string[]): Readonly<Record<string, string>> {
  const record: Record<string, string> = {};
  for (let i = 0; i + 1 < flat.length; i += 2) record[flat[i] ?? ''] = flat[i + 1] ?? '';
  return record;
}
