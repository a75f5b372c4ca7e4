import type { Command } from 'commander';
import type { RotateKeysOptions } from './commands/keys.ts';
import { type OutputFormat, outputOption } from './output.ts';
import type { Run } from './session.ts';
import { addStartingOptions, clusterArgument, dryRunOption, yesOption } from './shared-options.ts';

/** `holdfast keys list | rotate` */
export function addKeysCommands(keys: Command, run: Run): void {
  const load = () => import('./commands/keys.ts');
  keys
    .command('list')
    .description('what is sealed under which master key, of every cluster; also of those that are gone')
    .addOption(outputOption())
    .action((options: { output: OutputFormat }) => run(async (session) => (await load()).listKeys(session, options)));
  const rotate = keys
    .command('rotate')
    .description(
      "a new key for what is stored from now on, and all keys under the workers' first master key; shows the plan and asks first",
    )
    .addArgument(clusterArgument())
    .option('--no-new-key', 'only the master key changes that the keys there are sealed under')
    .addOption(dryRunOption())
    .addOption(yesOption());
  addStartingOptions(rotate).action((cluster: string, options: RotateKeysOptions) =>
    run(async (session) => (await load()).rotateKeys(session, cluster, options)),
  );
}
