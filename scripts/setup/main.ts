import { ensureComposeImages } from './compose-images.ts';
import { ensureCompose, ensureEngine, useDockerHost } from './docker.ts';
import { ensureHome, home } from './home.ts';
import { part, reportLine } from './part.ts';
import { CannotGoOn, CommandFailed } from './run.ts';
import { ensureServerImages } from './server-images.ts';
import { ensureSettings } from './settings-file.ts';
import { ensureObjectStore, ensureTemporal } from './temporal.ts';

/** What scripts/bootstrap goes on with once npm packages are there: every other part, in the order in which they need each other. */
async function main(): Promise<void> {
  const flags = process.argv.slice(2);
  const unknown = flags.filter((flag) => flag !== '--with-compose-images');
  if (unknown.length > 0) throw new CannotGoOn(`There is no option ${unknown.join(' ')}; the only one is --with-compose-images.`);
  const begin = Date.now();
  useDockerHost();
  ensureHome();
  await part('docker', ensureEngine);
  await part('settings', ensureSettings);
  await part('compose', ensureCompose);
  await part('temporal', ensureTemporal);
  await part('objects', ensureObjectStore);
  await part('servers', ensureServerImages);
  if (flags.includes('--with-compose-images')) await part('stack', ensureComposeImages);
  console.log(reportLine('ready', `everything is in ${home}`, begin));
}

try {
  await main();
} catch (error) {
  // A person's mistake or a missing part is a sentence; only a defect of ours shows its stack.
  console.error(error instanceof CannotGoOn || error instanceof CommandFailed ? `bootstrap: ${error.message}` : error);
  process.exitCode = 1;
}
