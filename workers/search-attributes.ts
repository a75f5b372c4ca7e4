import type { Client } from '@temporalio/client';
import type { Logger } from '@temporalio/worker';
import { searchAttributes } from '../config/names.ts';

const KEYWORD = 2;
const TRY_AGAIN_MS = 60_000;

/**
 * Registers Holdfast's search attributes where the namespace lacks them, and tells whether it has them all. Never fails: without them
 * operations run just the same, and only the lists of the Temporal UI cannot be filtered by cluster.
 */
export function createSearchAttributes(client: Client, log: Logger): () => Promise<boolean> {
  let ready = false;
  let triedAt = 0;
  return async () => {
    if (ready || Date.now() - triedAt < TRY_AGAIN_MS) return ready;
    triedAt = Date.now();
    try {
      ready = await register(client);
    } catch (error) {
      log.warn('search attributes cannot be registered; operations run without them', { error });
    }
    return ready;
  };
}

async function register(client: Client): Promise<boolean> {
  const { namespace } = client.options;
  const names: readonly string[] = Object.values(searchAttributes);
  const missing = async () => {
    const { customAttributes } = await client.connection.operatorService.listSearchAttributes({ namespace });
    return names.filter((name) => customAttributes?.[name] === undefined);
  };
  const lacking = await missing();
  if (lacking.length === 0) return true;
  await client.connection.operatorService.addSearchAttributes({
    namespace,
    searchAttributes: Object.fromEntries(lacking.map((name) => [name, KEYWORD])),
  });
  // The server tells its other parts a moment later; a start in between would be refused.
  return (await missing()).length === 0;
}
