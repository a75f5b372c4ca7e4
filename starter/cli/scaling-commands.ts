import { type Command, Option } from 'commander';
import type { RebalanceOptions } from './commands/rebalance.ts';
import type { RepairOptions } from './commands/repair.ts';
import type { ScaleOptions } from './commands/scale.ts';
import { addMove, addWeight, cpuNumber, memoryText, percentNumber, wholeNumber } from './option-values.ts';
import type { Run } from './session.ts';
import { addLimitOptions, addMovingOptions, addStartingOptions, clusterArgument, dryRunOption, yesOption } from './shared-options.ts';

/** `holdfast scale`, `rebalance` and `repair`: what changes the size of a cluster, or which shard has which slots. */
export function addScalingCommands(program: Command, run: Run): void {
  const start = (name: string, description: string) =>
    program.command(name).description(description).addArgument(clusterArgument()).addOption(dryRunOption()).addOption(yesOption());

  const scale = start('scale', 'change the shards, replicas or resources of a cluster while it serves; shows the plan and asks first')
    .addOption(new Option('--shards <count>', 'primaries afterwards').argParser(wholeNumber({ least: 1, most: 500 })))
    .addOption(new Option('--replicas <count>', 'replicas of each primary afterwards').argParser(wholeNumber({ least: 0, most: 5 })))
    .addOption(new Option('--memory <size>', 'memory limit of each node, such as 512Mi').argParser(memoryText))
    .addOption(new Option('--cpus <count>', 'CPUs that each node may use').argParser(cpuNumber));
  addStartingOptions(addMovingOptions(scale)).action((cluster: string, options: ScaleOptions) =>
    run(async (session) => (await import('./commands/scale.ts')).scale(session, cluster, options)),
  );

  const rebalance = start('rebalance', 'move slots until each shard has its share; shows the plan and asks first')
    .addOption(new Option('--by <what>', 'what is shared out (default slots)').choices(['slots', 'keys', 'memory']))
    .addOption(new Option('--weight <shard=share>', 'share of a shard, such as 0=2; others have 1; repeatable').argParser(addWeight))
    .addOption(new Option('--threshold <percent>', 'leave shards that are so near to their share (default 2)').argParser(percentNumber))
    .addOption(new Option('--max-moves <slots>', 'move so many slots at most').argParser(wholeNumber({ least: 1, most: 16_384 })))
    .addOption(
      new Option('--move <from:to:slots>', 'exactly these slots, such as 0:1:0-99,200; repeatable')
        .argParser(addMove)
        .conflicts(['by', 'weight', 'threshold', 'maxMoves']),
    );
  addStartingOptions(addMovingOptions(rebalance)).action((cluster: string, options: RebalanceOptions) =>
    run(async (session) => (await import('./commands/rebalance.ts')).rebalance(session, cluster, options)),
  );

  const repair = start('repair', 'close slots that anyone left open; shows the plan and asks first');
  addStartingOptions(addLimitOptions(repair)).action((cluster: string, options: RepairOptions) =>
    run(async (session) => (await import('./commands/repair.ts')).repair(session, cluster, options)),
  );
}
