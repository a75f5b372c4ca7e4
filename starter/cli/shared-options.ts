import { Argument, type Command, Option } from 'commander';
import { type MoveLimits, type MoveStrategy, moveLimits, moveStrategy } from '../../config/migration.ts';
import { boundsOf, byteCount, decimalNumber, wholeNumber } from './option-values.ts';
import { type OutputFormat, outputOption } from './output.ts';
import { formatBytes } from './view/units.ts';

export const clusterArgument = () => new Argument('<cluster>', 'name of the cluster');
export const yesOption = () => new Option('-y, --yes', 'do not ask');
export const dryRunOption = () => new Option('--dry-run', 'only show what would be done; changes nothing');
export const busyOption = () =>
  new Option('--when-busy <what>', 'when another operation works on the cluster').choices(['fail', 'wait']).default('fail');
export const reasonOption = () => new Option('--reason <text>', 'why, for the journal');
export const approvalOption = () =>
  new Option('--needs-approval [seconds]', 'wait until somebody approves; so long at most (default 3600)').argParser(
    wholeNumber({ least: 1, most: 7 * 86_400 }),
  );

/** What a command that starts an operation may be told. */
export interface StartingOptions {
  /** Only the plan. */
  readonly dryRun?: boolean;
  /** Do not ask. */
  readonly yes?: boolean;
  readonly whenBusy: 'fail' | 'wait';
  readonly reason?: string;
  readonly needsApproval?: true | number;
  /** Follow it to its end. Default true. */
  readonly watch?: boolean;
  readonly output: OutputFormat;
}

/** Options of every command that starts an operation. */
export function addStartingOptions(command: Command): Command {
  return command
    .option('-w, --watch', 'follow it to its end; that is the default')
    .option('--no-watch', 'only start it, and say how to come back')
    .addOption(approvalOption())
    .addOption(busyOption())
    .addOption(reasonOption())
    .addOption(outputOption());
}

/** The part of an operation's input that all operations have. */
export const sharedInput = ({ whenBusy, reason, needsApproval }: StartingOptions) => ({
  whenBusy,
  reason,
  approval: typeof needsApproval === 'number' ? { timeoutSeconds: needsApproval } : needsApproval && {},
});

export type LimitOptions = Partial<MoveLimits>;

const limitHelp: Readonly<Record<keyof MoveLimits, readonly [flag: string, help: string]>> = {
  probeP99Ms: ['--probe-p99-ms <ms>', 'latency budget: above this p99 of the probe the move slows down'],
  stallMs: ['--stall-ms <ms>', 'hold the move when the probe waits longer than this for an answer'],
  nodeAwayMs: ['--node-away-ms <ms>', 'how long a primary may be away before the move gives up'],
  maxKeyBytes: ['--max-key-bytes <bytes>', 'from which size on a key is a big one'],
  slotsAtOnce: ['--slots-at-once <count>', 'slots of a pair of shards that are open at a time, at most'],
  batchKeys: ['--batch-keys <count>', 'keys in one MIGRATE, at most'],
  batchBytes: ['--batch-bytes <bytes>', 'bytes in one MIGRATE, about, at most'],
  pairs: ['--pairs <count>', 'pairs of shards that move slots side by side, at most'],
};

const limitNames = Object.keys(limitHelp) as readonly (keyof MoveLimits)[];

/** `--probe-p99-ms` and the others. */
export const limitFlags: readonly string[] = Object.values(limitHelp).map(([flag]) => flag.split(' ', 1)[0] ?? flag);

const movingGroup = 'How slots move:';

/**
 * Options for each limit of a move, with the bounds of the contract. They are not set unless they are given.
 * @param change of a move that runs: what is not given stays, and a default says nothing
 */
export function addLimitOptions(command: Command, { change = false }: { readonly change?: boolean } = {}): Command {
  const defaults = moveLimits.parse({});
  for (const name of limitNames) {
    const [flag, help] = limitHelp[name];
    const field = moveLimits.shape[name].unwrap();
    const isBytes = name.endsWith('Bytes');
    const parse = isBytes ? byteCount : field.format === null ? decimalNumber : wholeNumber;
    const unlessGiven = change ? '' : ` (default ${isBytes ? formatBytes(defaults[name]) : defaults[name]})`;
    command.addOption(new Option(flag, `${help}${unlessGiven}`).argParser(parse(boundsOf(field))).helpGroup(movingGroup));
  }
  return command;
}

/** Those of the limits that were given. */
export const givenLimits = (options: LimitOptions): LimitOptions =>
  Object.fromEntries(limitNames.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])));

export interface MovingOptions extends LimitOptions {
  readonly strategy?: MoveStrategy;
  readonly bigKeys?: 'stop' | 'move';
}

/** Options of every command that moves slots. */
export function addMovingOptions(command: Command): Command {
  command
    .addOption(
      new Option('--strategy <how>', 'how slots are moved; auto: native where every node has it')
        .choices(moveStrategy.options)
        .helpGroup(movingGroup),
    )
    .addOption(
      new Option('--big-keys <what>', 'what to do about keys above --max-key-bytes').choices(['stop', 'move']).helpGroup(movingGroup),
    );
  return addLimitOptions(command);
}

/** The part of an input that says how slots move. */
export const movingInput = (options: MovingOptions) => ({
  strategy: options.strategy,
  bigKeys: options.bigKeys,
  limits: givenLimits(options),
});
