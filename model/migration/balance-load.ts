import { SLOTS } from '../slots.ts';
import { type BalanceOptions, most, type ShardShare, sum, type Transfer } from './shares.ts';

/** A slot with its load, a whole number. */
export interface WeighedSlot {
  readonly slot: number;
  readonly load: number;
}

interface Pile {
  readonly shard: number;
  readonly drains: boolean;
  /** Its share of the load. */
  readonly target: number;
  /** Its share of the slots. */
  readonly slotShare: number;
  /** What its load may be off the target. */
  readonly slack: number;
  /** Slots with a load that it can give, lightest first. */
  readonly loaded: WeighedSlot[];
  /** Slots without. */
  readonly idle: WeighedSlot[];
  load: number;
  count: number;
  gave: boolean;
  took: boolean;
}

type Amount = (pile: Pile) => number;

/**
 * Moves that bring the shards beyond the threshold to their share of the load, by the heaviest slots that fit both sides. Where none fits
 * any more and only sources (or only destinations) are still beyond it, the other side goes past its target, no further than the threshold.
 * Planning again would let it change sides, but nobody is left then who could use that: so it finds nothing to do.
 */
export function planByLoad(
  shards: readonly ShardShare[],
  slots: readonly (readonly WeighedSlot[])[],
  { thresholdPercent, maxMoves = SLOTS }: BalanceOptions,
): readonly Transfer[] {
  const piles = toPiles(shards, slots, thresholdPercent);
  const moved: (Transfer & { readonly load: number; readonly drains: boolean })[] = [];
  const move = (from: Pile, to: Pile, { slot, load }: WeighedSlot) => {
    from.load -= load;
    to.load += load;
    from.count--;
    to.count++;
    from.gave = true;
    to.took = true;
    moved.push({ slot, from: from.shard, to: to.shard, load, drains: from.drains });
  };
  /** Moves slots while there are any that fit, from whom gives most to whom takes most; both amounts only ever shrink. */
  const match = (gives: Amount, takes: Amount) => {
    const spent = new Set<Pile>();
    for (;;) {
      const from = most(piles, (pile) => (spent.has(pile) ? 0 : gives(pile)));
      const to = most(piles, takes);
      if (from === undefined || to === undefined) return;
      const next = () => takeHeaviest(from.loaded, Math.min(gives(from), takes(to)));
      let slot = next();
      if (slot === undefined) spent.add(from); // nobody else takes more, and both amounts only shrink
      for (; slot !== undefined; slot = next()) move(from, to, slot);
    }
  };

  // Where less can leave than is lacking, nobody is filled up at the cost of others: what stays lacking is the same for all.
  const lacking = shortfall(piles);
  const level: Amount = (pile) => deficit(pile) - lacking;
  const draining: Amount = (pile) => (pile.drains ? surplus(pile) : 0);
  for (const takes of [level, deficit]) match(draining, takes);
  for (const { from, slot } of leftOver(piles)) {
    const to = most(piles, (pile) => (pile.drains ? Number.NEGATIVE_INFINITY : room(pile)), Number.NEGATIVE_INFINITY);
    if (to !== undefined) move(from, to, slot);
  }

  /** Only of those that are beyond the threshold at this moment; they go on to their target. */
  const beyond = (isBeyond: (pile: Pile) => boolean, amount: Amount): Amount => {
    const those = new Set(piles.filter(isBeyond));
    return (pile) => (those.has(pile) ? amount(pile) : 0);
  };
  for (const takes of [level, deficit]) {
    match(beyond(isHigh, surplus), beyond(isLow, takes));
    match(beyond(isHigh, surplus), takes);
    match(surplus, beyond(isLow, takes));
  }
  if (!piles.some(isLow)) match((pile) => (isHigh(pile) ? surplus(pile) : 0), withSlack(deficit));
  else if (!piles.some(isHigh)) match(withSlack(surplus), (pile) => (isLow(pile) ? deficit(pile) : 0));

  spreadIdle(piles, move);
  return moved.sort((a, b) => Number(b.drains) - Number(a.drains) || b.load - a.load).slice(0, maxMoves);
}

function toPiles(shards: readonly ShardShare[], slots: readonly (readonly WeighedSlot[])[], thresholdPercent: number): readonly Pile[] {
  const weights = sum(shards, ({ weight }) => weight);
  const total = sum(slots.flat(), ({ load }) => load);
  const count = sum(slots, (its) => its.length);
  return shards.map(({ shard, weight }, index) => {
    const its = slots[index] ?? [];
    const target = (total * weight) / weights;
    return {
      shard,
      drains: weight === 0,
      target,
      slotShare: (count * weight) / weights,
      slack: (target * thresholdPercent) / 100,
      loaded: its.filter(({ load }) => load > 0).sort((a, b) => a.load - b.load || a.slot - b.slot),
      idle: its.filter(({ load }) => load === 0),
      load: sum(its, ({ load }) => load),
      count: its.length,
      gave: false,
      took: false,
    };
  });
}

/** What it can give before it is at its target. */
const surplus: Amount = (pile) => (pile.took ? 0 : pile.load - pile.target);
/** What it can take before it is at its target. */
const deficit: Amount = (pile) => (pile.gave || pile.drains ? 0 : pile.target - pile.load);
const withSlack =
  (amount: Amount): Amount =>
  (pile) =>
    amount(pile) > 0 ? amount(pile) + pile.slack : 0;
const isHigh = (pile: Pile): boolean => surplus(pile) > pile.slack;
/** One without any load is low whatever the threshold, unless its share is less than a slot. */
const isLow = (pile: Pile): boolean => deficit(pile) > (pile.load === 0 && pile.slotShare >= 1 ? 0 : pile.slack);
/** For a slot that must go somewhere: those below their target first, then the least over it. */
const room: Amount = (pile) => (pile.load < pile.target ? pile.target - pile.load + pile.slack : pile.target - pile.load);

/** What the emptiest shards must go on lacking, since slots heavier than their own shard's surplus stay. 0 without such slots. */
function shortfall(piles: readonly Pile[]): number {
  const movable = sum(piles, (pile) => {
    const its = Math.max(0, surplus(pile));
    const light = sum(pile.loaded, ({ load }) => (load <= its ? load : 0));
    return Math.min(its, light);
  });
  const deficits = piles.map(deficit).filter((lack) => lack > 0);
  const missing = sum(deficits, (lack) => lack) - movable;
  if (missing < sum(piles, ({ load }) => load) * 1e-9) return 0;
  let above = 0;
  const levels = deficits
    .sort((a, b) => b - a)
    .map((lack, index) => {
      above += lack;
      return (above - movable) / (index + 1); // when only this one and those that lack more take anything
    });
  return Math.max(0, ...levels);
}

/** Takes the heaviest slot that weighs so much at most, the last of several. */
function takeHeaviest(loaded: WeighedSlot[], atMost: number): WeighedSlot | undefined {
  let [low, high] = [0, loaded.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((loaded[middle]?.load ?? 0) <= atMost) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? undefined : loaded.splice(low - 1, 1)[0];
}

/** Slots of drained shards that did not fit anywhere, heaviest first. */
const leftOver = (piles: readonly Pile[]): readonly { readonly from: Pile; readonly slot: WeighedSlot }[] =>
  piles
    .filter(({ drains }) => drains)
    .flatMap((from) => from.loaded.splice(0).map((slot) => ({ from, slot })))
    .sort((a, b) => b.slot.load - a.slot.load);

/** Gives the slots without load of drained shards to those that gave nothing, by the number of slots, in stretches. */
function spreadIdle(piles: readonly Pile[], move: (from: Pile, to: Pile, slot: WeighedSlot) => void): void {
  const takers = piles.filter(({ drains, gave }) => !drains && !gave);
  const lacks: Amount = ({ slotShare, count }) => slotShare - count;
  for (const from of piles.filter(({ drains }) => drains)) {
    while (from.idle.length > 0) {
      const to = most(takers, lacks, Number.NEGATIVE_INFINITY);
      if (to === undefined) return; // cannot be: not all others were above their share
      const stretch = Math.max(Math.floor(lacks(to)), Math.ceil(from.idle.length / takers.length));
      for (const slot of from.idle.splice(-stretch)) move(from, to, slot);
    }
  }
}
