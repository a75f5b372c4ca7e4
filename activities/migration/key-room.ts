import { listedFrom, tightFor } from '../../model/migration/key-room.ts';
import { mib } from '../../model/words.ts';
import { parseInfo } from '../redis/parse.ts';
import { printable } from '../redis/printable.ts';
import { listItems, RawList } from '../redis/protocol.ts';
import type { Crew } from './crew.ts';
import type { Throttle } from './move-group.ts';
import type { ConnectedNode } from './slot-node.ts';

/** A key that would have a server killed while it moves. Its slot stays open. */
export class NoRoom extends Error {
  readonly slot: number;
  constructor(slot: number, message: string) {
    super(message);
    this.slot = slot;
  }
}

/** Lets no key through for which the container of either side has no room, with all that it holds now. Only a large one is worth asking for. */
export function admitsWithin(crew: Crew, source: ConnectedNode, destination: ConnectedNode): NonNullable<Throttle['admit']> {
  return async (part, slot) => {
    const { bytes = 0, count } = part;
    if (bytes === 0 || count > 1) return;
    const [from, to] = [containerOf(crew, source), containerOf(crew, destination)];
    if (bytes <= listedFrom(Number.POSITIVE_INFINITY, Math.min(from.memoryBytes, to.memoryBytes))) return;
    const [sends, takes] = await Promise.all([usedBy(source), usedBy(destination)]);
    const sender = { besides: sends - bytes, containerBytes: from.memoryBytes };
    const tight = tightFor(bytes, { besides: takes, containerBytes: to.memoryBytes }, sender);
    if (tight === undefined) return;
    const [name] = part instanceof RawList ? listItems(part) : [];
    const [where, does] = tight.by === 'taker' ? [to.name, 'takes'] : [from.name, 'sends'];
    throw new NoRoom(
      slot,
      `its key ${name === undefined ? '' : `${printable(name)} `}has ${mib(bytes)}, and ${where} holds it ${tight.times} times while it ${does} it: ${tight.most}. Its server would be killed: part the key, or remove it, and then holdfast repair`,
    );
  };
}

/** A container without a limit has room for anything. */
function containerOf(crew: Crew, { address }: ConnectedNode) {
  const { name = address, memoryBytes = 0 } = crew.now().observation.containers.find((one) => one.address === address) ?? {};
  return { name, memoryBytes: memoryBytes === 0 ? Number.POSITIVE_INFINITY : memoryBytes };
}

async function usedBy({ wire }: ConnectedNode): Promise<number> {
  return Number(parseInfo(String(await wire.one('INFO', 'memory'))).get('used_memory') ?? 0);
}
