import calculateSlot from 'cluster-key-slot';
import { Redis } from 'ioredis';
import { ports } from '../../config/names.ts';

/** How one call ended. `fail`: refused before anything happened. `info`: nobody knows whether it happened. */
export type Outcome = { readonly end: 'ok'; readonly value: unknown } | { readonly end: 'fail' | 'info'; readonly why: string };

export interface Login {
  readonly addresses: readonly string[];
  readonly username: string;
  readonly password: string;
  readonly ca?: string;
}

/**
 * A cluster client that follows redirections and does nothing else: no retries, so that what it records is what happened. One call at a time.
 * The rules for redirections are those of the cluster specification.
 */
export function createLoadClient({ addresses, username, password, ca }: Login) {
  const connections = new Map<string, Redis>();
  const owners = new Map<number, string>();

  const connection = async (address: string): Promise<Redis> => {
    const known = connections.get(address);
    if (known?.status === 'ready') return known;
    known?.disconnect();
    const redis = new Redis({
      host: address,
      port: ports.server,
      username,
      password,
      connectTimeout: 2000,
      commandTimeout: 15_000,
      lazyConnect: true,
      retryStrategy: () => null,
      maxRetriesPerRequest: 0,
      enableReadyCheck: false,
      disableClientInfo: true,
      ...(ca === undefined ? {} : { tls: { ca } }),
    });
    redis.on('error', () => undefined); // the call tells it
    connections.set(address, redis);
    await redis.connect();
    return redis;
  };
  const addressIn = (message: string): string => message.split(' ')[2]?.replace(/:\d+$/, '') ?? '';
  const anyAddress = (): string => addresses[Math.floor(Math.random() * addresses.length)] ?? '';

  async function call(command: string, key: string | Buffer, ...rest: readonly (string | number | Buffer)[]): Promise<Outcome> {
    const slot = calculateSlot(key);
    let address = owners.get(slot) ?? anyAddress();
    let asking = false;
    for (let hop = 0; hop < 20; hop++) {
      let redis: Redis;
      try {
        redis = await connection(address);
      } catch (error) {
        owners.delete(slot);
        return { end: 'fail', why: String(error) }; // nothing was sent
      }
      try {
        // Both in one write: nothing may come between.
        const marked = asking ? redis.call('ASKING') : undefined;
        marked?.catch(() => undefined);
        const value = await redis.callBuffer(command, key, ...rest);
        if (!asking) owners.set(slot, address);
        return { end: 'ok', value };
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        asking = false;
        if (message.startsWith('MOVED ')) {
          address = addressIn(message);
          owners.set(slot, address);
        } else if (message.startsWith('ASK ')) {
          address = addressIn(message);
          asking = true;
        } else if (/^(TRYAGAIN|CLUSTERDOWN|READONLY|LOADING|MASTERDOWN|NOREPLICAS)/.test(message)) {
          owners.delete(slot);
          return { end: 'fail', why: message };
        } else {
          owners.delete(slot);
          return { end: 'info', why: message };
        }
      }
    }
    return { end: 'fail', why: 'too many redirections' };
  }

  return {
    call,
    close() {
      for (const redis of connections.values()) redis.disconnect();
    },
  };
}

export type LoadClient = ReturnType<typeof createLoadClient>;
