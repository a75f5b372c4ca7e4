import type { ClientProbeReport } from './client-probe.ts';
import { median, table } from './measure.ts';
import type { DataSet } from './rebalance-cluster.ts';
import type { ContenderNotes } from './rebalance-contenders.ts';

/** One run of one contender. */
export interface Turn extends ContenderNotes {
  readonly tookMs: number;
  /** Slots that changed their owner, and the keys in them. */
  readonly slots: number;
  readonly keys: number;
  readonly felt: ClientProbeReport;
}

/** All rounds of a set. */
export interface SetResult {
  readonly set: DataSet;
  readonly turns: ReadonlyMap<string, readonly Turn[]>;
  readonly idle: readonly ClientProbeReport[];
}

const TARGETS = { default: 4, pipelined: 2, byHand: 1, p99Ms: 10, workerMib: 300, events: 2000 };

const middle = <T>(all: readonly T[], of: (one: T) => number): number => median(all.map(of));
const rateOf = ({ keys, tookMs }: Turn): number => (keys * 1000) / tookMs;
const movingRate = ({ keys, moved }: Turn): number => (moved === undefined ? Number.NaN : (keys * 1000) / moved.tookMs);

/** The table of a set, its targets, and whether all were met. */
export function reportSet({ set, turns, idle }: SetResult): { readonly text: string; readonly met: boolean } {
  const rate = (name: string) => middle(turns.get(name) ?? [], rateOf);
  const bases = [...turns.keys()].filter((name) => !name.startsWith('holdfast'));
  const head = ['contender', 's', 'slots', 'keys', 'keys/s', ...bases.map((name) => `x ${name}`), ...PROBE_HEAD];
  const over = (own: number) => bases.map((name) => (own / rate(name)).toFixed(2));
  const rows = [...turns].flatMap(([name, all]) => {
    const sizes = [middle(all, ({ slots }) => slots).toFixed(0), middle(all, ({ keys }) => keys).toFixed(0)];
    const whole = [
      name,
      seconds(middle(all, ({ tookMs }) => tookMs)),
      ...sizes,
      rate(name).toFixed(0),
      ...over(rate(name)),
      ...probeCells(all.map(({ felt }) => felt)),
    ];
    if (all.some(({ moved }) => moved === undefined)) return [whole];
    const alone = middle(all, movingRate);
    const blank = PROBE_HEAD.map(() => '');
    const step = [
      '  moving alone',
      seconds(middle(all, ({ moved }) => moved?.tookMs ?? Number.NaN)),
      ...sizes,
      alone.toFixed(0),
      ...over(alone),
      ...blank,
    ];
    return [whole, step];
  });
  const still = ['idle', ...head.slice(1, -PROBE_HEAD.length).map(() => ''), ...probeCells(idle)];
  const verdicts = targetsOf(turns, rate);
  const rounds = idle.length;
  const what = `${set.engine} ${set.version}, ${set.keys} keys of ${set.valueBytes} B, TLS ${set.tls ? 'on' : 'off'}`;
  const text = [
    `\n${set.id}: ${what}; 3 -> 4 primaries; medians of ${rounds} ${rounds === 1 ? 'round' : 'rounds'}, probe in ms`,
    `\n${table([head, ...rows, still])}\n`,
    ...verdicts.map(({ words, met }) => `${met ? 'met   ' : 'MISSED'} ${words}`),
    ...troubles(turns),
  ].join('\n');
  return { text, met: verdicts.every(({ met }) => met) };
}

const PROBE_HEAD = ['p50', 'p99', 'p99.9', 'max', 'samples'];
const probeCells = (felt: readonly ClientProbeReport[]): readonly string[] => [
  ...[middle(felt, ({ p50 }) => p50), middle(felt, ({ p99 }) => p99), middle(felt, ({ p999 }) => p999), middle(felt, ({ max }) => max)].map(
    (ms) => ms.toFixed(1),
  ),
  middle(felt, ({ samples }) => samples).toFixed(0),
];

const seconds = (ms: number): string => (ms / 1000).toFixed(1);

function targetsOf(turns: SetResult['turns'], rate: (name: string) => number) {
  const verdicts: { readonly words: string; readonly met: boolean }[] = [];
  for (const [name, all] of turns) {
    if (!name.startsWith('holdfast')) continue;
    const atLeast = (factor: number, other: string) => {
      if (!turns.has(other)) return;
      const is = rate(name) / rate(other);
      verdicts.push({
        words: `${name}: ${is.toFixed(2)} times the keys/s of ${other}, target at least ${factor.toFixed(1)}`,
        met: is >= factor,
      });
    };
    const atMost = (what: string, is: number, limit: number) =>
      verdicts.push({ words: `${name}: ${what} ${is.toFixed(1)}, target at most ${limit}`, met: is <= limit });
    atLeast(TARGETS.default, 'redis-cli 10');
    atLeast(TARGETS.pipelined, 'redis-cli 1000');
    atLeast(TARGETS.byHand, 'MIGRATESLOTS by hand');
    atMost(
      'p99 of the client in ms',
      middle(all, ({ felt }) => felt.p99),
      TARGETS.p99Ms,
    );
    atMost('resident MiB of the worker at its peak', Math.max(...all.map(({ workerMib = 0 }) => workerMib)), TARGETS.workerMib);
    atMost('events in the history', Math.max(...all.map(({ events = 0 }) => events)), TARGETS.events - 1);
  }
  return verdicts;
}

/** What no contender should do to a client. */
function troubles(turns: SetResult['turns']): readonly string[] {
  return [...turns].flatMap(([name, all]) =>
    all.flatMap(({ felt: { errors, firstError, missing } }, round) => [
      ...(missing > 0 ? [`LOST   ${name}, round ${round + 1}: ${missing} keys that the client read were not there`] : []),
      ...(errors > 0
        ? [`FAILED ${name}, round ${round + 1}: ${errors} calls of the client, the first with ${firstError ?? 'no reason'}`]
        : []),
    ]),
  );
}
