import { Argument, type Command, Option } from 'commander';
import type { BackupOptions, VerifyOptions } from './commands/backup.ts';
import type { ImportOptions } from './commands/backup-files.ts';
import { instantText, wholeNumber } from './option-values.ts';
import { type OutputFormat, outputOption } from './output.ts';
import type { Run } from './session.ts';
import { addStartingOptions, clusterArgument, dryRunOption, yesOption } from './shared-options.ts';

const backupArgument = () => new Argument('<backup>', 'its id, as holdfast backup list shows it; or latest');

const verifyOption = () =>
  new Option(
    '--verify <how>',
    'load: a server loads it (default); checksum: every byte is read again, and it is not called verified',
  ).choices(['load', 'checksum']);

const shardsAtOnceOption = () =>
  new Option('--shards-at-once <count>', 'shards that are worked on side by side (default 2)').argParser(
    wholeNumber({ least: 1, most: 16 }),
  );

/** `holdfast backup ...` */
export function addBackupCommands(backup: Command, run: Run): void {
  const load = () => import('./commands/backup.ts');
  const create = backup
    .command('create')
    .description('store the data of every shard, and have a server load it; shows the plan and asks first')
    .addArgument(clusterArgument())
    .option('--label <text>', 'what to call it')
    .addOption(new Option('--keep-until <time>', 'retention does not remove it before, such as 2027-01-01').argParser(instantText))
    .addOption(verifyOption())
    .option('--from-primary', 'read the primary of a shard that has no healthy replica')
    .addOption(shardsAtOnceOption())
    .addOption(dryRunOption())
    .addOption(yesOption());
  addStartingOptions(create).action((cluster: string, options: BackupOptions) =>
    run(async (session) => (await load()).createBackup(session, cluster, options)),
  );
  const verify = backup
    .command('verify')
    .description('have a server load a stored backup once more; also of a cluster that is gone')
    .addArgument(clusterArgument())
    .addArgument(backupArgument())
    .addOption(verifyOption())
    .option('--host <name>', 'the Docker host that loads it; default: the one of its spec')
    .addOption(shardsAtOnceOption())
    .addOption(dryRunOption());
  addStartingOptions(verify).action((cluster: string, id: string, options: VerifyOptions) =>
    run(async (session) => (await load()).verifyBackup(session, cluster, id, options)),
  );
  const files = () => import('./commands/backup-files.ts');
  backup
    .command('export')
    .description('copy a backup from the bucket into a folder, with the keys that it is sealed under')
    .addArgument(clusterArgument())
    .addArgument(backupArgument())
    .argument('<folder>', 'where to; other backups may be there already')
    .addOption(outputOption())
    .action((cluster: string, id: string, folder: string, options: { output: OutputFormat }) =>
      run(async (session) => (await files()).exportBackup(session, cluster, id, folder, options)),
    );
  backup
    .command('import')
    .description('copy the backups of such a folder into the bucket; overwrites nothing')
    .argument('<folder>', 'the folder that was exported to')
    .option('--sealed-under <file>', 'the master key that they are sealed under, where it is not the one of here')
    .addOption(outputOption())
    .action((folder: string, options: ImportOptions) => run(async (session) => (await files()).importBackups(session, folder, options)));
  backup
    .command('list')
    .description('the backups of a cluster, newest first; also of one that is gone')
    .addArgument(clusterArgument())
    .addOption(new Option('--limit <count>', 'so many at most').argParser(wholeNumber({ least: 1, most: 1000 })).default(50))
    .addOption(outputOption())
    .action((cluster: string, options: { output: OutputFormat; limit: number }) =>
      run(async (session) => (await load()).listBackups(session, cluster, options)),
    );
  backup
    .command('show')
    .description('one backup: its shards, where they lie, and what was verified')
    .addArgument(clusterArgument())
    .addArgument(backupArgument())
    .addOption(outputOption())
    .action((cluster: string, id: string, options: { output: OutputFormat }) =>
      run(async (session) => (await load()).showBackup(session, cluster, id, options)),
    );
}
