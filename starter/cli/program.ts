import { Argument, Command, Option } from 'commander';
import { schemaNames } from '../schemas.ts';
import { addBackupCommands } from './backup-commands.ts';
import type { ApplyOptions, PlanOptions } from './commands/apply.ts';
import type { ConnectOptions } from './commands/connect.ts';
import type { DeprovisionOptions } from './commands/deprovision.ts';
import type { StatusOptions } from './commands/reads.ts';
import { completionScript, type Shell, shells } from './completion-scripts.ts';
import { type ExitCode, exitCodes, exitCodesHelp } from './exit-codes.ts';
import { CliError } from './explain-error.ts';
import { addKeysCommands } from './keys-commands.ts';
import { addOperationsCommands } from './operations-commands.ts';
import { wholeNumber } from './option-values.ts';
import { type OutputFormat, outputOption } from './output.ts';
import { addRestoreCommands } from './restore-command.ts';
import { addRotationCommands } from './rotation-commands.ts';
import { addScalingCommands } from './scaling-commands.ts';
import { type GlobalOptions, openSession, type Run } from './session.ts';
import { addStartingOptions, busyOption, clusterArgument, dryRunOption, yesOption } from './shared-options.ts';

const specOption = () => new Option('-f, --filename <spec>', 'the spec, YAML or JSON; - is standard input').makeOptionMandatory();

/**
 * The tree of commands. What a command does is loaded when it runs, so that help and completion are quick.
 * @param done told the exit code of the command that ran
 */
export function buildProgram(version: string, done: (code: ExitCode) => void): Command {
  const program = new Command('holdfast');
  /** Opens what the command needs, and closes it whatever happens. */
  const run: Run = async (act) => {
    const session = openSession(program.opts<GlobalOptions>());
    try {
      done(await act(session));
    } finally {
      await session[Symbol.asyncDispose]();
    }
  };

  program
    .description('Durable operations for Redis and Valkey on Temporal.')
    .version(version, '-V, --version', 'print the version')
    .option('--address <host:port>', 'Temporal frontend; default HOLDFAST_TEMPORAL_ADDRESS')
    .option('--namespace <name>', 'Temporal namespace; default HOLDFAST_TEMPORAL_NAMESPACE')
    .option('--debug', 'show where an error comes from')
    .helpOption('-h, --help', 'how to use it')
    .helpCommand('help [command]', 'how to use a command')
    .addHelpText(
      'after',
      `\nStart:\n  holdfast doctor                 is everything there?\n  holdfast apply -f spec.yaml     make or change a cluster\n  holdfast status                 how are they?\n\n${exitCodesHelp}`,
    )
    .showSuggestionAfterError()
    .showHelpAfterError('See: holdfast --help');

  program.commandsGroup('Clusters:');
  addStartingOptions(
    program
      .command('apply')
      .description('make a cluster, or change it, as a spec says; shows the plan and asks first')
      .addOption(specOption())
      .addOption(yesOption()),
  ).action((options: ApplyOptions) => run(async (session) => (await import('./commands/apply.ts')).apply(session, options)));
  // So the operations are called; a word that is near is not always what was meant.
  for (const operation of ['provision', 'configure'])
    program
      .command(`${operation} [any...]`, { hidden: true })
      .allowUnknownOption()
      .action(() => {
        throw new CliError(`To make or change a cluster: holdfast apply -f spec.yaml (the operation ${operation} is a part of it)`);
      });
  program
    .command('plan')
    .description('show what apply would do; changes nothing')
    .addOption(specOption())
    .addOption(busyOption())
    .addOption(outputOption())
    .action((options: PlanOptions) => run(async (session) => (await import('./commands/apply.ts')).plan(session, options)));
  program
    .command('status')
    .description('how a cluster is, asked of every node; without a name: all of them')
    .argument('[cluster]', 'name of the cluster')
    .option('-w, --watch', 'again and again, until Ctrl-C; ends with what it saw last')
    .addOption(new Option('--interval <seconds>', 'how often with --watch').argParser(wholeNumber({ least: 1 })).default(5))
    .addOption(outputOption())
    .action((cluster: string | undefined, options: StatusOptions) =>
      run(async (session) => (await import('./commands/reads.ts')).status(session, cluster, options)),
    );
  program
    .command('list')
    .description('every cluster')
    .addOption(outputOption())
    .action((options: { output: OutputFormat }) => run(async (session) => (await import('./commands/reads.ts')).list(session, options)));
  program
    .command('describe')
    .description('the spec that a cluster is held to, and what led to it')
    .addArgument(clusterArgument())
    .addOption(outputOption())
    .action((cluster: string, options: { output: OutputFormat }) =>
      run(async (session) => (await import('./commands/reads.ts')).describe(session, cluster, options)),
    );
  program
    .command('events')
    .description('the journal of a cluster: who did what, when, and how it ended')
    .addArgument(clusterArgument())
    .addOption(new Option('--limit <count>', 'so many of the newest').argParser(wholeNumber({ least: 1 })).default(50))
    .addOption(outputOption())
    .action((cluster: string, options: { output: OutputFormat; limit: number }) =>
      run(async (session) => (await import('./commands/reads.ts')).events(session, cluster, options)),
    );
  program
    .command('connect')
    .description("how to connect a client; or the engine's CLI in a node")
    .addArgument(clusterArgument())
    .option('--user <name>', "default: the spec's first user whose password can be read here")
    .option('--show-password', 'print the password')
    .option('--ca-file <path>', 'write the CA certificate there')
    .option('--exec', "open the engine's CLI in a node")
    .option('--node <name>', 'the node for --exec; default: a primary')
    .addOption(outputOption())
    .action((cluster: string, options: ConnectOptions) =>
      run(async (session) => (await import('./commands/connect.ts')).connect(session, cluster, options)),
    );
  addScalingCommands(program, run);
  addStartingOptions(
    program
      .command('deprovision')
      .description('remove a cluster and its data; wants the name typed')
      .addArgument(clusterArgument())
      .option('--confirm <name>', 'the name once more, instead of typing it')
      .option('--keep-volumes', 'leave the data', false)
      .option('--force', 'also under deletion protection, or when no keeper knows it', false)
      .addOption(dryRunOption()),
  ).action((cluster: string, options: DeprovisionOptions) =>
    run(async (session) => (await import('./commands/deprovision.ts')).deprovision(session, cluster, options)),
  );

  program.commandsGroup('Backups:');
  const backup = program.command('backup').description('make, list, look at, keep and rotate backups');
  addBackupCommands(backup, run);
  addRotationCommands(backup, run);
  addRestoreCommands(program, run);

  program
    .command('recovery-window')
    .description('to which moments a cluster can be brought back, and every gap; also one that is gone; without a name: all of them')
    .argument('[cluster]', 'name of the cluster')
    .addOption(outputOption())
    .action((cluster: string | undefined, options: { output: OutputFormat }) =>
      run(async (session) => (await import('./commands/recovery-window.ts')).showRecoveryWindow(session, cluster, options)),
    );

  addKeysCommands(program.command('keys').description('list and change the keys that backups, archives and secrets are sealed under'), run);

  program.commandsGroup('Operations:');
  addOperationsCommands(program.command('operations').alias('ops').description('list, follow and steer operations'), run);

  program.commandsGroup('Holdfast itself:');
  program
    .command('doctor')
    .description('check every dependency, and say what to do')
    .addOption(outputOption())
    .action((options: { output: OutputFormat }) => run(async (session) => (await import('./commands/doctor.ts')).doctor(session, options)));
  program
    .command('worker')
    .description('run a worker until it is told to stop')
    .action(async () => {
      await (await import('../../workers/main.ts')).runWorkers();
      done(exitCodes.ok);
    });
  program
    .command('schema')
    .description("print the JSON Schema of the spec or of an operation's input")
    .addArgument(new Argument('[name]', 'which').choices(schemaNames).default('cluster-spec'))
    .action((name: string) => run(async (session) => (await import('./commands/schema.ts')).schema(session, name)));
  program
    .command('completion')
    .description('print a script that completes commands in a shell')
    .addArgument(new Argument('<shell>', 'which').choices(shells))
    .action((shell: Shell) => {
      process.stdout.write(completionScript(program, shell));
      done(exitCodes.ok);
    });
  return program;
}
