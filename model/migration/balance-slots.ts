import { countSlots, SLOTS, type SlotRange } from '../slots.ts';
import { slotsOf, toRanges } from './moves.ts';
import { type BalanceOptions, most, type ShardShare, sum, type Transfer } from './shares.ts';

interface Holding {
  readonly shard: number;
  readonly weight: number;
  readonly count: number;
  /** Its exact share of the slots. */
  readonly ideal: number;
  ranges: readonly SlotRange[];
  gives: number;
  takes: number;
}

/** Moves that bring every shard to its share of the slots, rounded; none when all are within the threshold or a slot of it. */
export function planBySlots(shards: readonly ShardShare[], options: BalanceOptions): readonly Transfer[] {
  const total = sum(shards, ({ slots }) => countSlots(slots));
  const weights = sum(shards, ({ weight }) => weight);
  const holdings = shards.map(({ shard, weight, slots }): Holding => {
    const exact = (total * weight) / weights;
    const whole = Math.round(exact);
    const ideal = Math.abs(exact - whole) < 1e-6 ? whole : exact; // far above the error in a sum of 500 weights, far below a slot
    return { shard, weight, count: countSlots(slots), ideal, ranges: toRanges(slotsOf(slots)), gives: 0, takes: 0 };
  });
  if (holdings.every((one) => isCalm(one, options.thresholdPercent))) return [];
  setGoals(holdings, total);
  limit(holdings, options.maxMoves ?? SLOTS);
  const transfers: Transfer[] = [];
  for (;;) {
    const from = most(holdings, ({ gives }) => gives);
    const to = most(holdings, ({ takes }) => takes);
    if (from === undefined || to === undefined) return transfers;
    for (const slot of slotsOf(handOver(from, to))) transfers.push({ slot, from: from.shard, to: to.shard });
  }
}

function isCalm({ weight, count, ideal }: Holding, thresholdPercent: number): boolean {
  const off = Math.abs(count - ideal);
  if (weight === 0 || off < 1) return weight > 0 || count === 0;
  return count > 0 && off <= (ideal * thresholdPercent) / 100;
}

/** Whole slots for all: a remainder goes to whoever would have to give that very slot away otherwise, then to the larger fraction. */
function setGoals(holdings: readonly Holding[], total: number): void {
  const keeps = ({ count, ideal }: Holding) => Number(count > ideal);
  const remainder = total - sum(holdings, ({ ideal }) => Math.floor(ideal));
  const up = holdings
    .filter(({ ideal }) => ideal % 1 > 0)
    .sort((a, b) => keeps(b) - keeps(a) || (b.ideal % 1) - (a.ideal % 1))
    .slice(0, remainder);
  for (const one of holdings) {
    const goal = Math.floor(one.ideal) + (up.includes(one) ? 1 : 0);
    one.gives = Math.max(0, one.count - goal);
    one.takes = Math.max(0, goal - one.count);
  }
}

/** Lowers what is given and taken to so many slots: the drained give first, then one slot at a time where most is left to do. */
function limit(holdings: readonly Holding[], moves: number): void {
  if (moves >= sum(holdings, ({ gives }) => gives)) return;
  for (const side of ['gives', 'takes'] as const) {
    const open = holdings.map((one) => ({ one, left: one[side], first: one.weight === 0 ? SLOTS : 0 }));
    for (const one of holdings) one[side] = 0;
    for (let move = 0; move < moves; move++) {
      const next = most(open, ({ left, first }) => (left > 0 ? left + first : 0));
      if (next === undefined) break;
      next.left--;
      next.one[side]++;
    }
  }
}

/**
 * Takes as many slots as the one gives and the other takes, in few fragments: ranges that touch what the other has, then one of the very
 * size, then whole ones from the end; a piece from the end for what is missing.
 */
function handOver(from: Holding, to: Holding): readonly SlotRange[] {
  const slots = Math.min(from.gives, to.takes);
  const edges = new Set(to.ranges.flatMap(([first, last]) => [first - 1, last + 1]));
  const rank = (range: SlotRange) => (edges.has(range[0]) || edges.has(range[1]) ? 2 : 0) + (countSlots([range]) === slots ? 1 : 0);
  const taken: SlotRange[] = [];
  const kept: SlotRange[] = [];
  let missing = slots;
  for (const range of from.ranges.toSorted((a, b) => rank(b) - rank(a) || b[0] - a[0])) {
    const size = countSlots([range]);
    if (size > missing) kept.push(range);
    else {
      taken.push(range);
      missing -= size;
    }
  }
  kept.sort((a, b) => a[0] - b[0]);
  const split = missing > 0 ? kept.pop() : undefined;
  if (split !== undefined) {
    kept.push([split[0], split[1] - missing]);
    taken.push([split[1] - missing + 1, split[1]]);
  }
  from.ranges = kept;
  to.ranges = [...to.ranges, ...taken];
  from.gives -= slots;
  to.takes -= slots;
  return taken;
}
