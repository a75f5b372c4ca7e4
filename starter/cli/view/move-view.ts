import { stripVTControlCharacters } from 'node:util';
import type { MoveProgress, PairProgress } from '../../../config/migration.ts';
import type { Style } from '../terminal.ts';
import { formatBytes, formatCount, formatEstimate, formatLatency, shorten } from './units.ts';

const BAR_CELLS = 20;
/** Pairs that are shown, at most. */
const PAIRS = 8;
const INDENT = '      ';

/** `████████░░░░` */
export function renderCells(done: number, total: number, style: Style): string {
  const full = Math.round(Math.min(1, Math.max(0, done / total)) * BAR_CELLS);
  return `${style.accent('█'.repeat(full))}${style.dim('░'.repeat(BAR_CELLS - full))}`;
}

/** Whole percent, rounded down: 100 is all of it. Nothing to do is done. */
const percent = ({ slots, slotsTotal }: Pick<MoveProgress, 'slots' | 'slotsTotal'>) =>
  slotsTotal === 0 ? 100 : Math.floor((Math.min(slots, slotsTotal) / slotsTotal) * 100);

const stateWords: Readonly<Record<MoveProgress['state'], string>> = {
  moving: 'moving',
  slowed: 'slowed',
  held: 'held',
  'waiting for a node': 'waiting for a node',
  closing: 'closing open slots',
};

const stateText = ({ state, why }: MoveProgress) => `${stateWords[state]}${why === undefined ? '' : `: ${why.split('\n', 1)[0]}`}`;

/** What is told of a move besides its bar, the most important first. */
const figures = ({ keys, keysTotal, bytes, bytesTotal, keysPerSecond, secondsLeft, latency }: MoveProgress) => [
  `${formatCount(keys)}/${formatCount(keysTotal)} keys`,
  `${formatBytes(bytes)}/${formatBytes(bytesTotal)}`,
  `${formatCount(keysPerSecond)} keys/s`,
  ...(secondsLeft === undefined ? [] : [`${formatEstimate(secondsLeft * 1000)} left`]),
  ...(latency.samples === 0 ? [] : [`probe p99 ${formatLatency(latency.p99)}`]),
];

/** As many parts on each line as fit. */
function pack(parts: readonly string[], columns: number): readonly string[] {
  const lines: string[] = [];
  for (const part of parts) {
    const longer = lines.length === 0 ? part : `${lines.at(-1)}   ${part}`;
    if (lines.length > 0 && INDENT.length + stripVTControlCharacters(longer).length <= columns) lines[lines.length - 1] = longer;
    else lines.push(part);
  }
  return lines;
}

/** `shard 0 -> 3     512/1,365 slots     131,072 keys` for each pair, those that still move first. */
function pairLines(pairs: readonly PairProgress[], rows: number): readonly string[] {
  const left = (pair: PairProgress) => pair.slotsTotal - pair.slots;
  const moving = pairs.filter((pair) => left(pair) > 0);
  const ordered = [...moving, ...pairs.filter((pair) => left(pair) <= 0)];
  const shown = ordered.length <= Math.min(PAIRS, rows) ? ordered : ordered.slice(0, Math.max(0, Math.min(PAIRS, rows - 1)));
  const cells = shown.map((pair) => [
    `shard ${pair.from} -> ${pair.to}`,
    `${formatCount(pair.slots)}/${formatCount(pair.slotsTotal)} slots`,
    `${formatCount(pair.keys)} keys`,
  ]);
  const width = (column: number) => Math.max(0, ...cells.map((row) => row[column]?.length ?? 0));
  const [names, slots, keys] = [width(0), width(1), width(2)];
  const lines = cells.map(([name = '', slotText = '', keyText = '']) =>
    [name.padEnd(names), slotText.padStart(slots), keyText.padStart(keys)].join('   '),
  );
  const rest = ordered.length - shown.length;
  return rest === 0 || rows <= 0 ? lines : [...lines, `and ${rest} more`];
}

/**
 * A move of slots under its step: how far, how fast, why it does not move when it does not, and each pair of shards.
 * @param rows that it may take; the pairs give way first
 */
export function renderMove(
  move: MoveProgress,
  { columns, rows }: { readonly columns: number; readonly rows: number },
  style: Style,
): readonly string[] {
  const { slots, slotsTotal, state, pairs } = move;
  const bar = `${renderCells(slots, Math.max(1, slotsTotal), style)} ${style.strong(`${percent(move)} %`)}`;
  const head = [...pack([bar, `${formatCount(slots)}/${formatCount(slotsTotal)} slots`, ...figures(move)], columns)];
  const paint = state === 'closing' ? style.accent : style.warn;
  if (state !== 'moving') head.push(paint(shorten(stateText(move), columns - INDENT.length)));
  const below = pairLines(pairs, rows - head.length).map((line) => style.dim(shorten(line, columns - INDENT.length)));
  return [...head, ...below].map((line) => `${INDENT}${line}`);
}

/** What a log says of a move: nothing, unless it has come a tenth further or its state has changed. */
export function moveLine(before: MoveProgress | undefined, now: MoveProgress): string | undefined {
  const tenth = (move: MoveProgress | undefined) => (move === undefined ? 0 : Math.floor(percent(move) / 10));
  if (tenth(before) === tenth(now) && (before?.state ?? 'moving') === now.state) return undefined;
  const { keys, keysPerSecond, secondsLeft, latency, slotsTotal } = now;
  const parts = [
    `${percent(now)} % of ${formatCount(slotsTotal)} slots`,
    `${formatCount(keys)} keys`,
    `${formatCount(keysPerSecond)} keys/s`,
    ...(secondsLeft === undefined ? [] : [`${formatEstimate(secondsLeft * 1000)} left`]),
    ...(latency.samples === 0 ? [] : [`probe p99 ${formatLatency(latency.p99)}`]),
  ];
  return `${parts.join(', ')}${now.state === (before?.state ?? 'moving') ? '' : `; ${stateText(now)}`}`;
}
