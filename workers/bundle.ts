import { renameSync, writeFileSync } from 'node:fs';
import { DefaultLogger } from '@temporalio/worker';
import { bundleWorkflows } from './workflow-bundle.ts';

/** `node workers/bundle.ts <file>`: makes the workflow bundle beforehand, so that workers start sooner and smaller (HOLDFAST_WORKFLOW_BUNDLE). */
const [, , file] = process.argv;
if (file === undefined) {
  process.stderr.write('say where to put it: node workers/bundle.ts <file>\n');
  process.exitCode = 2;
} else {
  const { code } = await bundleWorkflows(new DefaultLogger('WARN'));
  // Two at once must not mix; a reader sees the whole file or none.
  writeFileSync(`${file}.${process.pid}`, code);
  renameSync(`${file}.${process.pid}`, file);
}
