import { type Command, Option } from 'commander';
import type { DrillOptions, RestoreOptions } from './commands/restore.ts';
import { addField, momentText, wholeNumber } from './option-values.ts';
import type { Run } from './session.ts';
import { addStartingOptions, clusterArgument, dryRunOption, yesOption } from './shared-options.ts';

/** `holdfast restore <cluster>` and `holdfast drill <cluster>` */
export function addRestoreCommands(program: Command, run: Run): void {
  const restore = program
    .command('restore')
    .description(
      'make a new cluster with the data that another one had, also one that is gone; or bring data back in place; shows the plan and asks first',
    )
    .addArgument(clusterArgument())
    .option('--into <name>', 'name of the new cluster; left out: in place, what the cluster has now is backed up and replaced')
    .option('--confirm <name>', 'in place: the name of the cluster, instead of typing it')
    .option('--backup <id>', 'the data of this backup, as holdfast backup list shows it')
    .addOption(new Option('--at <time>', 'the data as it was at this moment, such as 2026-11-21T14:03:26Z').argParser(momentText))
    .addOption(
      new Option(
        '--ttl <how>',
        'absolute: a key ends when it was to end (default); shift: it has as much time left as it had at that moment',
      ).choices(['absolute', 'shift']),
    )
    .option('--latest', 'the data at the last moment that every shard can be brought back to')
    .addOption(
      new Option('--set <field=value>', 'a field of the spec that shall differ, such as resources.memory=1Gi; may be repeated').argParser(
        addField,
      ),
    )
    .option('-f, --filename <changes>', 'fields of the spec that shall differ, YAML or JSON; - is standard input')
    .addOption(
      new Option('--include <pattern>', 'only keys that match, such as user:*; may be repeated').argParser(
        (text: string, given?: string[]) => [...(given ?? []), text],
      ),
    )
    .addOption(shardsAtOnce())
    .addOption(dryRunOption())
    .addOption(yesOption());
  addStartingOptions(restore).action((cluster: string, options: RestoreOptions) =>
    run(async (session) => (await import('./commands/restore.ts')).restore(session, cluster, options)),
  );
  const drill = program
    .command('drill')
    .description('bring the newest data of a cluster back beside it, see that all is there, and remove it again; tells how long it took')
    .addArgument(clusterArgument())
    .addOption(new Option('--at <time>', 'as it was at this moment; default: the latest that there is').argParser(momentText))
    .addOption(shardsAtOnce())
    .addOption(dryRunOption())
    .addOption(yesOption());
  addStartingOptions(drill).action((cluster: string, options: DrillOptions) =>
    run(async (session) => (await import('./commands/restore.ts')).drill(session, cluster, options)),
  );
}

const shardsAtOnce = () =>
  new Option('--shards-at-once <count>', 'shards that are brought back side by side (default 2)').argParser(
    wholeNumber({ least: 1, most: 16 }),
  );
