import { Argument, type Command, Option } from 'commander';
import type { OperationState } from '../client/operation-list.ts';
import type { DecideOptions, ListOptions } from './commands/operations.ts';
import { wholeNumber } from './option-values.ts';
import { type OutputFormat, outputOption } from './output.ts';
import type { Run } from './session.ts';
import { addLimitOptions, type LimitOptions, reasonOption } from './shared-options.ts';

const operationStates: readonly OperationState[] = ['running', 'done', 'failed', 'cancelled', 'terminated', 'timed out'];

const idArgument = () => new Argument('<id>', "the operation's id; or a cluster's name, for its newest operation");

/** `holdfast operations ...` */
export function addOperationsCommands(operations: Command, run: Run): void {
  const load = () => import('./commands/operations.ts');
  operations
    .command('list')
    .description('newest first')
    .option('--cluster <name>', 'only of this cluster')
    .addOption(new Option('--state <state>', 'only in this state').choices(operationStates))
    .option('--dry-runs', 'also those that only made a plan')
    .addOption(new Option('--limit <count>', 'so many at most').argParser(wholeNumber({ least: 1 })).default(20))
    .addOption(outputOption())
    .action((options: ListOptions) => run(async (session) => (await load()).listOperations(session, options)));
  operations
    .command('show')
    .description('what an operation does, or how it ended')
    .addArgument(idArgument())
    .option('-w, --watch', 'follow it to its end; Ctrl-C lets go of it')
    .addOption(outputOption())
    .action((id: string, options: { output: OutputFormat; watch?: boolean }) =>
      run(async (session) => (await load()).showOperation(session, id, options)),
    );
  for (const what of ['pause', 'resume'] as const) {
    operations
      .command(what)
      .description(what === 'pause' ? 'stop before the next step; a move of slots stops between two groups' : 'go on after a pause')
      .addArgument(idArgument())
      .action((id: string) => run(async (session) => (await load()).pauseOrResume(session, id, what)));
  }
  addLimitOptions(operations.command('limits').description('change limits of a move of slots while it runs').addArgument(idArgument()), {
    change: true,
  }).action((id: string, options: LimitOptions) => run(async (session) => (await load()).changeLimits(session, id, options)));
  operations
    .command('cancel')
    .description('stop at the next step, and undo what can be undone; a deprovision undoes nothing, slots that moved stay where they are')
    .addArgument(idArgument())
    .option('--wait', 'until it has ended')
    .action((id: string, options: { wait?: boolean }) => run(async (session) => (await load()).cancelOperation(session, id, options)));
  for (const what of ['approve', 'reject'] as const) {
    operations
      .command(what)
      .description(what === 'approve' ? 'let an operation that waits for approval go on' : 'end an operation that waits for approval')
      .addArgument(idArgument())
      .option('--by <name>', 'who decides; default: you')
      .addOption(reasonOption())
      .action((id: string, options: DecideOptions) => run(async (session) => (await load()).decide(session, id, what, options)));
  }
}
