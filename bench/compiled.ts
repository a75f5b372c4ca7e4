import { join } from 'node:path';
import { checkout } from '../scripts/setup/home.ts';
import { run } from '../scripts/setup/run.ts';

/** The worker as its image has it (Dockerfile): compiled, with the bundle of the workflows. Made anew. */
export async function compiledWorker(): Promise<{ readonly entry: string; readonly env: Record<string, string> }> {
  await run('npm', ['run', '--silent', 'build'], { cwd: checkout });
  const dist = join(checkout, 'dist');
  return { entry: join(dist, 'workers', 'main.js'), env: { HOLDFAST_WORKFLOW_BUNDLE: join(dist, 'workflow-bundle.js') } };
}
