import { Argument, type Command, Option } from 'commander';
import type { RotateOptions } from './commands/rotate.ts';
import { wholeNumber } from './option-values.ts';
import type { Run } from './session.ts';
import { addStartingOptions, clusterArgument, dryRunOption, type StartingOptions, yesOption } from './shared-options.ts';

/** `holdfast backup rotate | hold | release` */
export function addRotationCommands(backup: Command, run: Run): void {
  const load = () => import('./commands/rotate.ts');
  const rotate = backup
    .command('rotate')
    .description('remove the backups that no rule of the retention keeps; shows which, and why the others stay, and asks first')
    .addArgument(clusterArgument())
    .addOption(
      new Option(
        '--grace-seconds <count>',
        'so long stays what nobody owns, such as an upload that was given up (default 86400)',
      ).argParser(wholeNumber({ least: 0, most: 365 * 86_400 })),
    )
    .addOption(dryRunOption())
    .addOption(yesOption());
  addStartingOptions(rotate).action((cluster: string, options: RotateOptions) =>
    run(async (session) => (await load()).rotate(session, cluster, options)),
  );
  for (const held of [true, false]) {
    const command = backup
      .command(held ? 'hold' : 'release')
      .description(held ? 'keep a backup whatever the retention says; wants a --reason' : 'let the retention decide about a backup again')
      .addArgument(clusterArgument())
      .addArgument(new Argument('<id>', 'id of the backup, as holdfast backup list shows it'))
      .addOption(dryRunOption());
    addStartingOptions(command).action((cluster: string, id: string, options: StartingOptions) =>
      run(async (session) => (await load()).hold(session, { cluster, backup: id, held }, options)),
    );
  }
}
