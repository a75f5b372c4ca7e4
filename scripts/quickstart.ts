import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { startObjectStore, startTemporal, startWorker } from './services.ts';
import { checkout, ensureHome, paths } from './setup/home.ts';
import { part } from './setup/part.ts';
import { logFile, running } from './setup/process-record.ts';
import { CannotGoOn } from './setup/run.ts';
import { readSettingsFile } from './setup/settings-file.ts';

/** The cluster of examples/demo.yaml. */
const CLUSTER = 'demo';

/** Runs the CLI with this terminal as its own. Resolves to its exit code, or to undefined when a signal ended it. */
function holdfast(...args: readonly string[]): Promise<number | undefined> {
  const child = spawn(process.execPath, [join('starter', 'holdfast.js'), ...args], { cwd: checkout, stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? undefined));
  });
}

/** Starts what is not running yet, provisions the demo cluster and says what to do with it. Every part of it may be repeated. */
async function quickstart(): Promise<void> {
  const begin = Date.now();
  ensureHome();
  await part('temporal', startTemporal);
  await part('objects', startObjectStore);
  await part('worker', startWorker);
  console.log('');
  // A first run whose worker was killed may still be at it: this one waits for it, and then finds nothing to change.
  const applied = await holdfast('apply', '-f', join('examples', `${CLUSTER}.yaml`), '--yes', '--when-busy', 'wait');
  if (detached) return sayHowToComeBack();
  if (applied !== 0) throw new CannotGoOn(`The cluster ${CLUSTER} was not provisioned (see above). The worker's log: ${logFile('worker')}`);
  console.log('');
  await holdfast('status', CLUSTER);
  console.log(`\nReady in ${((Date.now() - begin) / 1000).toFixed(1)} s.\n`);
  await sayWhatNext();
}

async function sayWhatNext(): Promise<void> {
  const ui = process.env.HOLDFAST_TEMPORAL_UI || readSettingsFile().HOLDFAST_TEMPORAL_UI;
  const pid = (await running('worker'))?.pid;
  console.log(`Connect with a client:  npx holdfast connect ${CLUSTER}
Watch the operation:    ${ui}/namespaces/default/workflows
Logs and data:          ${paths.log}, ${paths.data}

Try next, to see an operation survive its worker:
  npx holdfast deprovision ${CLUSTER}      removes the cluster (its spec turns deletion protection off)
  npm run quickstart                 provisions it again; while it does, in another terminal:
  ${`kill -9 ${pid ?? '<pid of the worker>'}`.padEnd(33)}  kills this worker in the middle; what runs waits for another
  npm run quickstart                 starts one, which takes over where the first was killed
  npm run quickstart:stop            ends Temporal, the object store and the worker; the cluster goes on`);
}

function sayHowToComeBack(): void {
  console.log(`
The services and the operation go on in the background.
  npx holdfast operations list       shows the operation, and how to follow it
  npm run quickstart                 comes back to it
  npm run quickstart:stop            ends Temporal, the object store and the worker`);
}

// The terminal sends Ctrl-C to the CLI as well, which detaches from the operation; this process only stays to say how to come back.
let detached = false;
process.on('SIGINT', () => {
  detached = true;
});

try {
  await quickstart();
} catch (error) {
  if (detached) sayHowToComeBack();
  else {
    console.error(error instanceof CannotGoOn ? `quickstart: ${error.message}` : error);
    process.exitCode = 1;
  }
}
