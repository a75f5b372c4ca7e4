import { Argument, type Command, Option } from 'commander';
import type { BackupOptions } from './commands/backup.ts';
import { instantText, wholeNumber } from './option-values.ts';
import { type OutputFormat, outputOption } from './output.ts';
import type { Run } from './session.ts';
import { addStartingOptions, clusterArgument, dryRunOption, yesOption } from './shared-options.ts';

/** `holdfast backup ...` */
export function addBackupCommands(backup: Command, run: Run): void {
  const load = () => import('./commands/backup.ts');
  const create = backup
    .command('create')
    .description('store the data of every shard, and have a server load it; shows the plan and asks first')
    .addArgument(clusterArgument())
    .option('--label <text>', 'what to call it')
    .addOption(new Option('--keep-until <time>', 'retention does not remove it before, such as 2027-01-01').argParser(instantText))
    .addOption(
      new Option(
        '--verify <how>',
        'load: a server loads it (default); checksum: every byte is read again, and it is not called verified',
      ).choices(['load', 'checksum']),
    )
    .option('--from-primary', 'read the primary of a shard that has no healthy replica')
    .addOption(
      new Option('--shards-at-once <count>', 'shards that are stored side by side (default 2)').argParser(
        wholeNumber({ least: 1, most: 16 }),
      ),
    )
    .addOption(dryRunOption())
    .addOption(yesOption());
  addStartingOptions(create).action((cluster: string, options: BackupOptions) =>
    run(async (session) => (await load()).createBackup(session, cluster, options)),
  );
  backup
    .command('list')
    .description('the backups of a cluster, newest first; also of one that is gone')
    .addArgument(clusterArgument())
    .addOption(new Option('--limit <count>', 'so many at most').argParser(wholeNumber({ least: 1, most: 500 })).default(50))
    .addOption(outputOption())
    .action((cluster: string, options: { output: OutputFormat; limit: number }) =>
      run(async (session) => (await load()).listBackups(session, cluster, options)),
    );
  backup
    .command('show')
    .description('one backup: its shards, where they lie, and what was verified')
    .addArgument(clusterArgument())
    .addArgument(new Argument('<id>', 'id of the backup, as holdfast backup list shows it'))
    .addOption(outputOption())
    .action((cluster: string, id: string, options: { output: OutputFormat }) =>
      run(async (session) => (await load()).showBackup(session, cluster, id, options)),
    );
}
