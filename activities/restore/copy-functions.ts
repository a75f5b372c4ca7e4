import { failures } from '../../config/failures.ts';
import type { NodeAddress } from '../redis/connection.ts';
import { ServerError } from '../redis/protocol.ts';
import { openWire, type Wire } from '../redis/wire.ts';
import { fatal } from '../support/failure.ts';

/** Every one of these nodes has the function libraries of a server. */
export async function copyFunctions(from: Wire, to: readonly NodeAddress[]): Promise<void> {
  const libraries = await from.one('FUNCTION', 'DUMP');
  if (!Buffer.isBuffer(libraries)) throw new Error('FUNCTION DUMP gave no bytes');
  for (const target of to) {
    const wire = await openWire(target);
    try {
      await wire.one('FUNCTION', 'RESTORE', libraries, 'REPLACE');
    } catch (error) {
      throw error instanceof ServerError
        ? fatal(failures.engineRefused, `${target.address} does not take the functions: ${error.message}`)
        : error;
    } finally {
      wire.close();
    }
  }
}
