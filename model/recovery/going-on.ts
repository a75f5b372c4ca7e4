/** Where a node is in its shard's stream of writes, as `INFO replication` tells it. */
export interface StreamPlace {
  readonly replid: string;
  /** Bytes of the stream that it has. */
  readonly offset: number;
  /** The id that the stream had before, and up to where it may be asked for under that id. */
  readonly former?: { readonly replid: string; readonly upTo: number };
  /** It can go on after any offset from here on; missing when it keeps no writes at all. */
  readonly keepsFrom?: number;
}

/** A node of the shard that can be followed. */
export interface Followable {
  readonly role: 'primary' | 'replica';
  readonly place: StreamPlace;
}

/** Where an archive has come to. */
export interface ArchivedTo {
  readonly replid: string;
  readonly offset: number;
  /** Its timeline cannot be taken back further. */
  readonly earliest: number;
}

export type GoingOn<N> =
  /** `dropped`: so many archived bytes after `from` are not part of the shard's writes any more: a failover has dropped them. */
  | { readonly how: 'follow'; readonly node: N; readonly from: number; readonly dropped: number }
  | { readonly how: 'wait'; readonly why: string }
  /** No node can go on where the archive has come to. `upTo`: what was archived beyond is not part of the shard's writes. */
  | { readonly how: 'anew'; readonly because: 'gap' | 'diverged' | 'new-primary'; readonly upTo: number };

type Answer =
  | { readonly can: 'continue' | 'later' | 'gone' | 'elsewhere' }
  /** A failover has dropped what came after `to`. */
  | { readonly can: 'rewind' | 'diverged'; readonly to: number };

/** What a node would answer to who has come so far. */
function ask({ replid, offset, former, keepsFrom }: StreamPlace, at: Omit<ArchivedTo, 'earliest'>): Answer {
  const kept = (from: number) => keepsFrom !== undefined && from >= keepsFrom;
  if (replid === at.replid) return { can: offset < at.offset ? 'later' : kept(at.offset) ? 'continue' : 'gone' };
  if (former?.replid !== at.replid) return { can: 'elsewhere' };
  if (at.offset > former.upTo) return { can: kept(former.upTo) ? 'rewind' : 'diverged', to: former.upTo };
  return { can: kept(at.offset) ? 'continue' : 'gone' };
}

/**
 * Which node of a shard to go on with, and from where. Replicas are preferred, in their order: what follows a primary is taken for a replica by sentinels, and keeps Valkey from handing
 * slots over safely. Only the primary can say that the archive cannot go on.
 * @param patient whether a replica that cannot be followed yet is waited for, when the primary could be
 */
export function goOn<N extends Followable>(at: ArchivedTo, nodes: readonly N[], patient: boolean): GoingOn<N> {
  const answers = nodes.map((node) => ({ node, answer: ask(node.place, at) }));
  const follow = (role: Followable['role']) => answers.find(({ node, answer }) => node.role === role && answer.can === 'continue')?.node;
  const replica = follow('replica');
  if (replica !== undefined) return { how: 'follow', node: replica, from: at.offset, dropped: 0 };
  const primary = answers.find(({ node }) => node.role === 'primary');
  if (primary === undefined) return { how: 'wait', why: 'no primary answers, and no replica can go on' };
  const { node, answer } = primary;
  if (answer.can === 'rewind' || answer.can === 'diverged') {
    const { to } = answer;
    if (answer.can === 'diverged' || to < at.earliest) return { how: 'anew', because: 'diverged', upTo: to };
    // The new primary has less than the archive: back to where it took over, with a replica that can if there is one.
    const back = goOn({ ...at, offset: to }, nodes, patient);
    return back.how === 'follow' ? { ...back, dropped: at.offset - to } : back;
  }
  if (answer.can === 'elsewhere') return { how: 'anew', because: 'new-primary', upTo: at.offset };
  if (answer.can === 'gone') return { how: 'anew', because: 'gap', upTo: at.offset };
  if (answer.can === 'later') return { how: 'wait', why: 'the primary is not so far itself' };
  if (patient) return { how: 'wait', why: 'no replica has come so far' };
  return { how: 'follow', node, from: at.offset, dropped: 0 };
}
