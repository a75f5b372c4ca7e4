import { createHash } from 'node:crypto';
import { slotOfKey } from '../redis/key-slot.ts';
import { type Reply, ServerError, type Word } from '../redis/protocol.ts';
import { copiesOf, type KeyCopies, type KeyCopy } from './key-copies.ts';
import { keyOfSlot, type Ledger } from './ledger.ts';
import type { ConnectedNode } from './slot-node.ts';

const AT_ONCE = 200;
/** It is there already, by way of replication, or a client has written it anew. */
const THERE = 'BUSYKEY';

/**
 * Puts keys back on a promoted primary that it lacks, in slots that it owns or takes. Those that are at the source still, or again, stay out: the
 * source answers for them, and what it deletes must not come back from here. Safe to repeat.
 * @param which `cleared`: it had them all when it was promoted; so only those whose whole slot it has deleted then, and not what clients deleted
 * @returns how many were put back
 */
export async function restoreCopies(
  source: ConnectedNode,
  promoted: ConnectedNode,
  list: KeyCopies,
  which: 'all' | { readonly cleared: Pick<Ledger, 'has'> },
): Promise<number> {
  const all = copiesOf(list);
  let restored = 0;
  for (let at = 0; at < all.length; at += AT_ONCE) {
    const some = all.slice(at, at + AT_ONCE);
    const there = await source.wire.ask(some.map(({ name }) => ['EXISTS', name]));
    const left = some.filter((_, index) => !isThere(there[index]));
    const slots = left.map(({ name }) => slotOfKey(name));
    const cleared = which === 'all' ? new Set(slots) : await clearedSlots(promoted, which.cleared, [...new Set(slots)]);
    const gone = left.filter((_, index) => cleared.has(slots[index] ?? -1));
    if (gone.length === 0) continue;
    // A replica knows nothing of slots that are open: it takes their keys only when it is told again.
    await promoted.importing([...cleared], source.nodeId);
    const replies = await promoted.wire.ask(gone.map(restore));
    for (const reply of replies) {
      if (reply instanceof ServerError && reply.kind !== THERE) throw reply;
      if (!(reply instanceof ServerError)) restored++;
    }
  }
  return restored;
}

/** No client deletes the ledger's keys. In a slot without one, it is the more likely that all of its keys were cleared than that clients deleted all in these seconds. */
async function clearedSlots(promoted: ConnectedNode, ledger: Pick<Ledger, 'has'>, slots: readonly number[]): Promise<ReadonlySet<number>> {
  const counts = await promoted.count(slots);
  const known = slots.filter((slot) => ledger.has(slot));
  // It answers for slots that are its own, or open; one that is neither has no new keys.
  const there = await existsAsked(promoted, known.map(keyOfSlot));
  const cleared = known.filter((_, index) => there[index] === 0);
  return new Set([...slots.filter((_, index) => counts[index] === 0), ...cleared]);
}

/** EXISTS of each key, also in slots that are only on their way to the node. */
async function existsAsked({ wire }: ConnectedNode, names: readonly Word[]): Promise<readonly (Reply | undefined)[]> {
  const replies = await wire.ask(names.flatMap((name) => [['ASKING'], ['EXISTS', name]]));
  return names.map((_, index) => replies[2 * index + 1]);
}

/** A key is there, or has left, or its slot is another's by now. @throws the server's error when it cannot tell */
function isThere(reply: Reply | undefined): boolean {
  if (reply instanceof ServerError && reply.kind !== 'ASK' && reply.kind !== 'MOVED') throw reply;
  return reply === 1;
}

/** As MIGRATE sends it: also into a slot that is not the node's yet. */
const restore = ({ name, expiresAt, dump }: KeyCopy): readonly Word[] => ['RESTORE-ASKING', name, expiresAt, dump, 'ABSTTL'];

/** What DUMP makes of each key, by its digest; empty where it is not there, or its slot is another's by now. */
const DIGESTS = `
local digests = {}
for i = 1, #ARGV do
  local dump = redis.pcall('DUMP', ARGV[i])
  if type(dump) == 'table' and string.find(dump.err or '', 'is down') then return redis.error_reply('CLUSTERDOWN it serves nothing now') end
  digests[i] = type(dump) == 'string' and redis.sha1hex(dump) or ''
end
return digests`;

/** Only a key that is still what it was when it was looked at. */
const REMOVE = `
local removed = 0
for i = 1, #ARGV, 2 do
  local dump = redis.pcall('DUMP', ARGV[i])
  if type(dump) == 'string' and redis.sha1hex(dump) == ARGV[i + 1] then removed = removed + redis.call('UNLINK', ARGV[i]) end
end
return removed`;

interface Leftover {
  readonly name: Buffer;
  readonly digest: string;
  /** Whether it is byte for byte what left. */
  readonly same: boolean;
}

export interface LeftBehind {
  /** Keys that had left the source before. */
  readonly copies: readonly KeyCopies[];
  /** The name of the stream of writes of the one that led before, where it is known. */
  readonly formerStream: string | undefined;
}

/**
 * Removes keys from a promoted source that had left before it was promoted, when the destination has them: moved once more they would replace what clients have written there since. It had not heard that they left, and perhaps not the last
 * of what was written to them before: so their values tell nothing. What clients have written to them since it leads does, and stands in its stream: such a key is the newer one, and goes the way of all. Where nobody knows
 * that stream, those are removed that are as they left.
 */
export async function removeLeftovers(
  promoted: ConnectedNode,
  destination: ConnectedNode,
  { copies, formerStream }: LeftBehind,
): Promise<void> {
  const found: Leftover[] = [];
  for (const list of copies) {
    const all = copiesOf(list);
    for (let at = 0; at < all.length; at += AT_ONCE)
      found.push(...(await findLeftovers(promoted, destination, all.slice(at, at + AT_ONCE))));
  }
  if (found.length === 0) return;
  // After they were looked at: what is written later is another value, and stays.
  const names = new Set(found.map(({ name }) => name.toString('latin1')));
  const written = formerStream === undefined ? undefined : await promoted.writtenSinceItLed(names, formerStream);
  const stale = found.filter(({ name, same }) => (written === undefined ? same : !written.has(name.toString('latin1'))));
  for (let at = 0; at < stale.length; at += AT_ONCE)
    await promoted.wire.one('EVAL', REMOVE, 0, ...stale.slice(at, at + AT_ONCE).flatMap(({ name, digest }) => [name, digest]));
}

async function findLeftovers(
  promoted: ConnectedNode,
  destination: ConnectedNode,
  copies: readonly KeyCopy[],
): Promise<readonly Leftover[]> {
  const there = await existsAsked(
    destination,
    copies.map(({ name }) => name),
  );
  const arrived = copies.filter((_, index) => isThere(there[index]));
  if (arrived.length === 0) return [];
  const digests = await promoted.wire.one('EVAL_RO', DIGESTS, 0, ...arrived.map(({ name }) => name));
  return arrived.flatMap(({ name, dump }, index): readonly Leftover[] => {
    const digest = Array.isArray(digests) ? String(digests[index]) : '';
    return digest === '' ? [] : [{ name, digest, same: digest === createHash('sha1').update(dump).digest('hex') }];
  });
}
