import { type BalanceOptions, planMoves, type ShardShare } from '../model/migration/balance.ts';
import { slotsOf, toRanges } from '../model/migration/moves.ts';
import { countSlots, evenSlotRanges, SLOTS } from '../model/slots.ts';
import { median, table, timed } from './measure.ts';

const ROUNDS = 21;
const TARGET_MS = 200;

/** The planner at its largest: 500 shards, in the shapes that it meets. It runs in a workflow task, so it must be quick. */
export async function benchPlanner(): Promise<void> {
  const next = random(1);
  const load = Array.from({ length: SLOTS }, () => Math.floor(next() * 1_000_000));
  const skewed = Array.from({ length: SLOTS }, () => Math.floor(10 ** (next() * 9)));
  const scattered = scatter(500, 500, next);
  const growing = scatter(500, 400, next);
  const grown = evenSlotRanges(400).map((range, shard): ShardShare => ({ shard, weight: 1, slots: [range] }));
  const empty = Array.from({ length: 100 }, (_, i): ShardShare => ({ shard: 400 + i, weight: 1, slots: [] }));
  const drained = scatter(500, 500, next).map((share) => ({ ...share, weight: share.shard < 400 ? 1 : 0 }));
  const cases: readonly (readonly [name: string, shards: readonly ShardShare[], options: Partial<BalanceOptions>])[] = [
    ['500 shards, scattered, by slots', scattered, {}],
    ['500 shards, scattered, by slots, 1000 moves at most', scattered, { maxMoves: 1000 }],
    ['500 shards, scattered, by load', scattered, { load }],
    ['500 shards, scattered, by skewed load', scattered, { load: skewed }],
    ['400 -> 500, contiguous, by slots', [...grown, ...empty], {}],
    ['400 -> 500, contiguous, by load', [...grown, ...empty], { load }],
    ['400 -> 500, scattered, by load', growing, { load }],
    ['500 -> 400, scattered, by load', drained, { load }],
  ];
  const rows: string[][] = [];
  let met = true;
  for (const [name, shards, rest] of cases) {
    const options = { thresholdPercent: 2, ...rest };
    const moves = planMoves(shards, options); // warms up, too
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round++) times.push(await timed(async () => planMoves(shards, options)));
    met &&= median(times) < TARGET_MS;
    const slots = moves.reduce((total, move) => total + countSlots(move.slots), 0);
    rows.push([name, median(times).toFixed(1), Math.max(...times).toFixed(1), `${slots}`, `${moves.length}`]);
  }
  console.log(`\nplanner, ${SLOTS} slots, ${ROUNDS} rounds each\n`);
  console.log(table([['', 'median ms', 'max ms', 'slots moved', 'pairs'], ...rows]));
  console.log(`\ntarget: every median below ${TARGET_MS} ms: ${met ? 'met' : 'MISSED'}\n`);
}

/** Slots one by one with any of the first `owners` shards: the most fragments there can be. */
function scatter(count: number, owners: number, next: () => number): readonly ShardShare[] {
  const slots = Array.from({ length: count }, (): number[] => []);
  for (const slot of slotsOf([[0, SLOTS - 1]])) slots[Math.floor(next() * owners)]?.push(slot);
  return slots.map((its, shard) => ({ shard, weight: 1, slots: toRanges(its) }));
}

/** The same numbers in every run: a linear congruential generator. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
