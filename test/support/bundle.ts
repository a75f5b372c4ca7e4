import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from '../../scripts/setup/home.ts';

/** A bundle of the workflows as they are now: made once for all workers of all tests, and anew when a source changes. */
export function currentBundle(): string {
  const sources = globSync(['{config,model,workflows}/**/*.ts', 'workers/payload-converter.ts', 'package-lock.json'], {
    cwd: checkout,
  }).sort();
  const hash = createHash('sha256');
  for (const source of sources) hash.update(source).update(readFileSync(join(checkout, source)));
  const folder = join(checkout, 'node_modules', '.holdfast');
  const file = join(folder, `workflows-${hash.digest('hex').slice(0, 16)}.js`);
  mkdirSync(folder, { recursive: true });
  if (!existsSync(file)) execFileSync(process.execPath, [join(checkout, 'workers', 'bundle.ts'), file]);
  return file;
}
