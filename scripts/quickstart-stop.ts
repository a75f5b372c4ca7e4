import { serviceNames } from './services.ts';
import { stopRunning } from './setup/process-record.ts';
import { ask } from './setup/run.ts';

/** Ends the services that the quickstart started, and nothing else. The last one started ends first: the worker reports while Temporal is there. */
let stopped = 0;
for (const name of serviceNames.toReversed()) {
  const pid = await stopRunning(name);
  if (pid === undefined) continue;
  stopped += 1;
  console.log(`${name.padEnd(12)} process ${pid} ended`);
}
if (stopped === 0) console.log('Nothing to stop: no service of the quickstart runs.');

const containers = await ask('docker', ['ps', '--filter', 'label=holdfast.cluster', '--format', '{{.Label "holdfast.cluster"}}']);
const clusters = [...new Set((containers ?? '').split('\n').filter((name) => name !== ''))].sort();
if (clusters.length > 0) {
  console.log(
    `Clusters on this engine, also those of other installations, go on: they need none of these services to serve: ${clusters.join(', ')}.`,
  );
  console.log(`To remove one of yours: npm run quickstart, then npx holdfast deprovision <cluster>`);
}
