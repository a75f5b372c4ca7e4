import { createHash } from 'node:crypto';
import type { ShardBackup } from '../../config/backup.ts';
import type { SealedHeader } from '../../config/sealed.ts';

/** What a sealed RDB says of itself. Nobody can change that, where whoever can write to the bucket could change a manifest, or a `begin.json`. */

type About = SealedHeader['about'];
type Place = Pick<ShardBackup, 'shard' | 'replid' | 'offset' | 'slots'>;

/** What an RDB is part of: a backup, or a timeline of an archive. */
export interface PartOf {
  readonly cluster: string;
  readonly backup?: string;
  readonly timeline?: string;
}

/** A longer list of slots would not fit into a header; it has the list's digest then. */
const MOST_SLOTS_TEXT = 1500;
/** Of a list of slots, in a message. */
const MOST_SHOWN = 60;

const digestOf = (slots: string): string => createHash('sha256').update(slots).digest('hex');

export const aboutShard = ({ cluster, backup, timeline }: PartOf, { shard, replid, offset, slots }: Place): About => ({
  cluster,
  ...(backup === undefined ? {} : { backup }),
  ...(timeline === undefined ? {} : { timeline }),
  shard,
  replid,
  offset,
  ...(slots.length > MOST_SLOTS_TEXT ? { slotsSha256: digestOf(slots) } : { slots }),
});

/** How what an object says of itself differs from what is said of it, for a person. Undefined when it does not. */
export function howAboutDiffers(about: About, partOf: PartOf, place: Place): string | undefined {
  const { slots } = place;
  const said = { ...aboutShard(partOf, { ...place, slots: '' }), slots, slotsSha256: digestOf(slots) };
  const differs = Object.entries(said).flatMap(([name, value]) => {
    const own = about[name];
    // A header has the slots or their digest. Older ones have neither of a long list.
    if (own === value || (own === undefined && (name === 'slots' || name === 'slotsSha256'))) return [];
    return [`${name} ${shown(own)}, and not ${shown(value)}`];
  });
  if (differs.length === 0) return undefined;
  return `its header says ${differs.join('; ')}, as ${partOf.timeline === undefined ? 'the manifest' : 'begin.json'} does: one of them was altered, or is another's`;
}

const shown = (value: string | number | undefined): string => {
  const text = String(value ?? 'nothing');
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}...` : text;
};
