import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Takes the settings that bootstrap wrote for this machine into the environment. Variables that are set already win. */
export function loadSettingsFile(): void {
  const file = join(process.env.HOLDFAST_HOME || join(homedir(), '.cache', 'holdfast'), 'settings.env');
  if (existsSync(file)) process.loadEnvFile(file);
}
