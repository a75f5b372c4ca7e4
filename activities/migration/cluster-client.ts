import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeAddress } from '../redis/connection.ts';
import { type Reply, ServerError, type Word } from '../redis/protocol.ts';
import { openWire, type Wire, WireLost } from '../redis/wire.ts';
import { isCopied, waitForCopy } from './wait-for-copy.ts';

/**
 * A client of the cluster as an application has one: it learns who owns a slot from redirections, follows them, and waits while nobody answers.
 * One call at a time. The rules are those of the cluster specification.
 */
export interface ClusterClient {
  /** @throws WireLost when nobody took the call in time */
  call(slot: number, command: readonly Word[]): Promise<Reply>;
  /** Whether a replica has what the last call wrote; false also when nobody can say. */
  isCopied(): Promise<boolean>;
  close(): void;
}

const GIVE_UP_MS = 30_000;
const RETRY_MS = 20;
const COPIED_WITHIN_MS = 200;
/** Answers that pass: the slot is half moved, or the cluster has not agreed yet. */
const WAITS = new Set(['TRYAGAIN', 'CLUSTERDOWN', 'READONLY', 'LOADING', 'MASTERDOWN']);

export function createClusterClient(nodes: readonly NodeAddress[]): ClusterClient {
  const wires = new Map<string, Promise<Wire>>();
  const owners = new Map<number, string>();
  let closed = false;
  let lastWire: Wire | undefined;

  const connect = (address: string): Promise<Wire> => {
    const known = wires.get(address);
    if (known !== undefined) return known;
    const [like] = nodes;
    const opening = openWire({ kind: 'data', password: '', ...like, address });
    wires.set(address, opening);
    opening.catch(() => wires.delete(address)); // thrown where it is awaited; the next call connects anew
    return opening;
  };
  const ask = async (address: string, command: readonly Word[], asking: boolean): Promise<Reply> => {
    const wire = await connect(address);
    try {
      lastWire = wire;
      const replies = await wire.ask(asking ? [['ASKING'], command] : [command], GIVE_UP_MS);
      return replies.at(-1) ?? null;
    } catch (error) {
      wires.delete(address);
      throw error;
    }
  };
  /** `MOVED 3999 10.0.0.1:6379` */
  const addressIn = ({ message }: ServerError): string => message.split(' ')[2]?.replace(/:\d+$/, '') ?? '';

  return {
    async call(slot, command) {
      const end = Date.now() + GIVE_UP_MS;
      for (let turn = 0, to = owners.get(slot), asking = false; !closed && Date.now() < end; turn++) {
        const address = to ?? nodes[turn % nodes.length]?.address ?? '';
        const reply = await ask(address, command, asking).catch((error: unknown) => {
          if (error instanceof WireLost || error instanceof ServerError) return error;
          throw error;
        });
        asking = false;
        if (reply instanceof ServerError && reply.kind === 'MOVED') {
          to = addressIn(reply);
          owners.set(slot, to);
        } else if (reply instanceof ServerError && reply.kind === 'ASK') {
          to = addressIn(reply);
          asking = true;
        } else if (reply instanceof WireLost || (reply instanceof ServerError && WAITS.has(reply.kind))) {
          to = undefined;
          owners.delete(slot);
          await sleep(RETRY_MS);
        } else if (reply instanceof ServerError) throw reply;
        else return reply;
      }
      throw new WireLost(`slot ${slot}: nobody took the call within ${GIVE_UP_MS} ms`);
    },
    async isCopied() {
      const replies = await lastWire?.ask(waitForCopy(COPIED_WITHIN_MS)).catch(() => []); // it was lost on the way
      return isCopied(replies ?? []);
    },
    close() {
      closed = true;
      for (const opening of wires.values())
        opening.then(
          (wire) => wire.close(),
          () => undefined, // it never opened
        );
    },
  };
}
