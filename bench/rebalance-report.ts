import { availableParallelism } from 'node:os';
import type { ClientProbeReport } from './client-probe.ts';
import { median, table, type Verdict, verdictLine } from './measure.ts';
import type { DataSet } from './rebalance-cluster.ts';
import type { ContenderNotes } from './rebalance-contenders.ts';

/** One run of one contender. */
export interface Turn extends ContenderNotes {
  readonly tookMs: number;
  /** Slots that changed their owner, and the keys in them. */
  readonly slots: number;
  readonly keys: number;
  /** What the four servers used of the CPUs. */
  readonly serversCpuSeconds: number;
  readonly felt: ClientProbeReport;
}

/** All rounds of a set. */
export interface SetResult {
  readonly set: DataSet;
  readonly turns: ReadonlyMap<string, readonly Turn[]>;
  readonly idle: readonly ClientProbeReport[];
}

/** Of the contender that is named: how many times its keys/s Holdfast shall reach. */
const TIMES: Readonly<Record<string, number>> = { 'redis-cli 10': 4, 'redis-cli 1000': 2, 'MIGRATESLOTS by hand': 1 };
const AT_MOST = { clientP99Ms: 10, workerMib: 300, events: 1999 };
/** With an idle cluster, a client that feels more than this shares its CPUs with something else. */
const QUIET_P99_MS = 3;

/** `own p99` is the client's own delay: what it would feel of a cluster that answers at once. */
const PROBE_COLUMNS: readonly (readonly [head: string, of: (felt: ClientProbeReport) => number, digits: number])[] = [
  ['p50', ({ p50 }) => p50, 1],
  ['p99', ({ p99 }) => p99, 1],
  ['p99.9', ({ p999 }) => p999, 1],
  ['max', ({ max }) => max, 1],
  ['own p99', ({ ownDelayP99 }) => ownDelayP99, 1],
  ['samples', ({ samples }) => samples, 0],
];

const middle = <T>(all: readonly T[], of: (one: T) => number): number => median(all.map(of));
const most = <T>(all: readonly T[], of: (one: T) => number | undefined): number => Math.max(...all.map((one) => of(one) ?? 0));
const movingMs = ({ moved }: Turn): number => moved?.tookMs ?? Number.NaN;
const rate = (turns: readonly Turn[], msOf = (turn: Turn) => turn.tookMs): number =>
  middle(turns, (turn) => (turn.keys * 1000) / msOf(turn));

/** The table of a set, its targets, and whether all were met. */
export function reportSet({ set, turns, idle }: SetResult): { readonly text: string; readonly met: boolean } {
  const others = [...turns].filter(([name]) => TIMES[name] !== undefined);
  const head = [
    'contender',
    's',
    'slots',
    'keys',
    'keys/s',
    'CPU s of servers',
    ...others.map(([name]) => `x ${name}`),
    ...PROBE_COLUMNS.map(([name]) => name),
  ];
  const row = (name: string, all: readonly Turn[], msOf?: (turn: Turn) => number): readonly string[] => [
    name,
    (middle(all, msOf ?? (({ tookMs }) => tookMs)) / 1000).toFixed(1),
    middle(all, ({ slots }) => slots).toFixed(0),
    middle(all, ({ keys }) => keys).toFixed(0),
    rate(all, msOf).toFixed(0),
    msOf === undefined ? middle(all, ({ serversCpuSeconds }) => serversCpuSeconds).toFixed(1) : '',
    ...others.map(([, base]) => (rate(all, msOf) / rate(base)).toFixed(2)),
    ...(msOf === undefined ? probeCells(all.map(({ felt }) => felt)) : PROBE_COLUMNS.map(() => '')),
  ];
  const rows = [...turns].flatMap(([name, all]) => [
    row(name, all),
    ...(all.every(({ moved }) => moved === undefined) ? [] : [row('  moving alone', all, movingMs)]),
  ]);
  const still = ['idle', ...head.slice(1, -PROBE_COLUMNS.length).map(() => ''), ...probeCells(idle)];
  const verdicts = [...turns].flatMap(([name, all]) => (TIMES[name] === undefined ? verdictsOf(name, all, others) : []));
  const what = `${set.engine} ${set.version}, ${set.keys} keys of ${set.valueBytes} B, TLS ${set.tls ? 'on' : 'off'}`;
  const text = [
    `\n${set.id}: ${what}; 3 -> 4 primaries; medians of ${idle.length} ${idle.length === 1 ? 'round' : 'rounds'}, what the client felt in ms`,
    `\n${table([head, ...rows, still])}\n`,
    ...verdicts.map(verdictLine),
    ...[...turns].flatMap(([name, all]) => (TIMES[name] === undefined ? others.map((other) => boundOf(name, all, other)) : [])),
    ...notesOf(turns, idle),
  ].join('\n');
  const harmless = [...turns.values()].flat().every(({ felt }) => felt.missing === 0 && felt.errors === 0);
  return { text, met: harmless && verdicts.every(({ met }) => met) };
}

const probeCells = (felt: readonly ClientProbeReport[]): readonly string[] =>
  PROBE_COLUMNS.map(([, of, digits]) => middle(felt, of).toFixed(digits));

function verdictsOf(name: string, all: readonly Turn[], others: readonly (readonly [string, readonly Turn[]])[]): readonly Verdict[] {
  const atLeast = (what: string, is: number, other: string): Verdict => ({
    words: `${name}, ${what}: ${is.toFixed(2)} times the keys/s of ${other}, target at least ${(TIMES[other] ?? 0).toFixed(1)}`,
    met: is >= (TIMES[other] ?? 0),
  });
  const atMost = (what: string, is: number, limit: number): Verdict => ({
    words: `${name}: ${Number(is.toFixed(1))} ${what}, target at most ${limit}`,
    met: is <= limit,
  });
  return [
    ...others.flatMap(([other, base]) => [
      atLeast('start to result', rate(all) / rate(base), other),
      ...(other.includes('by hand') ? [atLeast('moving alone', rate(all, movingMs) / rate(base), other)] : []),
    ]),
    ...(others.some(([other]) => other.startsWith('redis-cli'))
      ? [
          atMost(
            'ms p99 of the client',
            middle(all, ({ felt }) => felt.p99),
            AT_MOST.clientP99Ms,
          ),
        ]
      : []),
    atMost(
      'MiB resident in the worker at its peak',
      most(all, ({ workerMib }) => workerMib),
      AT_MOST.workerMib,
    ),
    atMost(
      'events in the history',
      most(all, ({ events }) => events),
      AT_MOST.events,
    ),
  ];
}

/** However little the mover itself takes, its servers work: this machine's CPUs, full of nothing else, set a bound to what can be measured on it. */
function boundOf(name: string, all: readonly Turn[], [other, base]: readonly [string, readonly Turn[]]): string {
  const seconds = middle(all, ({ serversCpuSeconds }) => serversCpuSeconds);
  const cpus = availableParallelism();
  const most = (middle(all, ({ keys }) => keys) * cpus) / seconds / rate(base);
  return `note   ${name}: ${seconds.toFixed(1)} s of CPU went to the servers; ${cpus} CPUs full of nothing else would make ${most.toFixed(2)} times the keys/s of ${other}`;
}

/** What explains the figures, and what no contender should do to a client. */
function notesOf(turns: SetResult['turns'], idle: readonly ClientProbeReport[]): readonly string[] {
  const p99 = middle(idle, (felt) => felt.p99);
  const noise = p99 > QUIET_P99_MS ? [`note   the machine was not quiet: p99 ${p99.toFixed(1)} ms while nothing moved`] : [];
  const rounds = [...turns].flatMap(([name, all]) => all.map((turn, index) => ({ ...turn, where: `${name}, round ${index + 1}` })));
  return [
    ...noise,
    ...rounds.flatMap(({ where, moved, workerMibBefore = 0, felt }) => [
      ...(moved === undefined
        ? []
        : [
            `note   ${where}: its own probe met p99 ${moved.latency.p99} ms, held ${moved.heldMs} ms; worker ${workerMibBefore.toFixed(0)} MiB before`,
          ]),
      ...(felt.missing > 0 ? [`LOST   ${where}: ${felt.missing} keys that the client read were not there`] : []),
      ...(felt.errors > 0 ? [`FAILED ${where}: ${felt.errors} calls of the client, the first with ${felt.firstError ?? 'no reason'}`] : []),
    ]),
  ];
}
