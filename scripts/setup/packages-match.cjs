// Exits 0 when node_modules holds what package-lock.json asks for, by npm's own record in node_modules/.package-lock.json.
// CommonJS without dependencies: it runs on the machine's Node, before there are packages.
const { readFileSync } = require('node:fs');

/** @param {string} file */
const packagesOf = (file) => JSON.parse(readFileSync(file, 'utf8')).packages;

try {
  const wanted = packagesOf('package-lock.json');
  const installed = packagesOf('node_modules/.package-lock.json');
  const missing = Object.entries(wanted).filter(
    ([path, { version, optional }]) => path !== '' && installed[path]?.version !== version && !(optional && installed[path] === undefined),
  );
  process.exit(missing.length === 0 ? 0 : 1);
} catch {
  process.exit(1); // no node_modules, or a record that cannot be read: npm ci makes it anew
}
