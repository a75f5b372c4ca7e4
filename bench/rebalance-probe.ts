import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { ClientProbeOrder, ClientProbeReport } from './client-probe.ts';

/** What a client of the cluster felt while something was done. The client is warm before the work begins. */
export async function underProbe<T>(
  order: ClientProbeOrder,
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly felt: ClientProbeReport }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'client-probe.ts')], { stdio: ['pipe', 'pipe', 'inherit'] });
  const endWithUs = () => child.kill('SIGKILL');
  process.once('exit', endWithUs);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async (): Promise<string> => {
    const next = await lines.next();
    if (next.done === true) throw new Error('the client probe ended too soon');
    return next.value;
  };
  try {
    child.stdin.write(`${JSON.stringify(order)}\n`); // a password stands in it: not for a command line
    if ((await line()) !== 'ready') throw new Error('the client probe is not ready');
    const result = await work();
    child.stdin.end();
    return { result, felt: JSON.parse(await line()) as ClientProbeReport };
  } finally {
    process.removeListener('exit', endWithUs);
    child.kill('SIGKILL');
  }
}
