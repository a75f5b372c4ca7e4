import { type Command, Option } from 'commander';
import type { DrillOptions, RestoreOptions } from './commands/restore.ts';
import { addField, instantText, wholeNumber } from './option-values.ts';
import type { Run } from './session.ts';
import { addStartingOptions, clusterArgument, dryRunOption, yesOption } from './shared-options.ts';

/** `holdfast restore <cluster>` and `holdfast drill <cluster>` */
export function addRestoreCommands(program: Command, run: Run): void {
  const restore = program
    .command('restore')
    .description('make a new cluster with the data that another one had, also one that is gone; shows the plan and asks first')
    .addArgument(clusterArgument())
    .addOption(new Option('--into <name>', 'name of the new cluster').makeOptionMandatory())
    .option('--backup <id>', 'the data of this backup, as holdfast backup list shows it')
    .addOption(new Option('--at <time>', 'the data as it was at this moment, such as 2026-11-21T14:03:26Z').argParser(instantText))
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
    .addOption(new Option('--at <time>', 'as it was at this moment; default: the latest that there is').argParser(instantText))
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
