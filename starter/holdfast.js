#!/usr/bin/env node
// The sources of the checkout need Node 24, which runs TypeScript as it is; the packed JavaScript runs on Node 20 too. What is here must run on any.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

const file = (path) => fileURLToPath(new URL(path, import.meta.url));
const major = Number(process.versions.node.split('.')[0]);
const sources = existsSync(file('./cli/main.ts'));

if (!sources && major < 20) {
  console.error(`error: Holdfast needs Node 20 or later; this is ${process.version}.`);
  process.exitCode = 2;
} else if (!sources || major >= 24) {
  const { main } = await import(sources ? './cli/main.ts' : '../dist/starter/cli/main.js');
  await main(new URL('../package.json', import.meta.url));
} else if (existsSync(file('../node_modules/.bin/node'))) {
  const child = spawn(file('../node_modules/.bin/node'), [file('./holdfast.js'), ...process.argv.slice(2)], { stdio: 'inherit' });
  process.on('SIGINT', () => {
    // The terminal sends Ctrl-C to the child too, and the child decides what it means.
  });
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    console.error(`error: ${error.message}`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0);
  });
} else {
  console.error(`error: The checkout needs Node 24 (this is ${process.version}), or its own: npm ci`);
  process.exitCode = 2;
}
