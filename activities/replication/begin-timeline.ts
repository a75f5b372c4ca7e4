import { type Continued, type FullSync, type HandshakeOptions, handshake, resumeAt } from './handshake.ts';
import type { ReplicationTarget } from './link.ts';
import { ReplicationNotNow } from './refusal.ts';

/** A base and the stream of writes from exactly there, on two connections: each may be as slow as it is. */
export interface Timeline {
  readonly base: FullSync;
  readonly stream: Continued;
}

/**
 * Begins anew: the server's data as an RDB, and its stream from the RDB's offset on. On one connection the server would have to keep all writes in memory until
 * the RDB has arrived, and on Valkey one of the two would be harmed by what the other needs (see `handshake`). On two, the stream can be followed while the RDB
 * still comes. The RDB's header tells the database that is selected where the stream begins.
 * @throws as `handshake`; ReplicationNotNow when the node changed its stream in between
 */
export async function beginTimeline(
  target: ReplicationTarget,
  options: Pick<HandshakeOptions, 'stallMs' | 'signal'> = {},
): Promise<Timeline> {
  const base = await handshake(target, { ...options, rdbOnly: true });
  if (base.how !== 'full') throw new Error('a server cannot go on where nothing was asked for');
  try {
    const stream = await resumeAt(target, base, options);
    if (stream.how === 'continue') return { base, stream };
    stream.link.close();
    throw new ReplicationNotNow(`${target.address} began another stream while its data was asked for: was it just failed over? Ask again`);
  } catch (error) {
    base.link.close();
    throw error;
  }
}
