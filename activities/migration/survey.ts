import type { SlotSurvey } from '../../model/migration/survey.ts';
import { SLOTS } from '../../model/slots.ts';
import { parseInfo } from '../redis/parse.ts';
import { encodeCommand, listItems, RawList, type Reply, ServerError } from '../redis/protocol.ts';
import type { Wire } from '../redis/wire.ts';
import type { ClusterRef, MigrationDeps } from './cluster-now.ts';
import { gatherCrew } from './crew.ts';
import { findNativeCommands } from './native.ts';

export interface SurveyRequest extends ClusterRef {
  /** Also the memory of each slot: from the server's statistics, or else from samples. */
  readonly bytes: boolean;
}

const READY_WITHIN_MS = 10_000;
/** Keys of each slot that are measured where the server has no statistics of its own. */
const SAMPLES_A_SLOT = 8;
const SLOTS_A_ROUND = 256;

/** Counts the keys of every slot, at its owner. Changes nothing. @throws NodeAway when a shard has no primary */
export async function surveySlots(deps: MigrationDeps, request: SurveyRequest): Promise<SlotSurvey> {
  const crew = await gatherCrew(deps, request, { nodeAwayMs: READY_WITHIN_MS, mends: false });
  try {
    const keys = new Array<number>(SLOTS).fill(0);
    const bytes = new Array<number>(SLOTS).fill(0);
    const shards = await Promise.all(
      Array.from({ length: request.spec.shards }, async (_, shard) => {
        const { wire, count } = crew.primary(shard);
        const own = crew.slots(shard);
        const counts = await count(own);
        for (const [index, slot] of own.entries()) keys[slot] = counts[index] ?? 0;
        const from = request.bytes ? await measure(wire, own, keys, bytes) : ('average' as const);
        return { from, native: await findNativeCommands(wire), ...(await memoryOf(wire)) };
      }),
    );
    const [first] = shards;
    const native = shards.every((one) => one.native === first?.native) ? first?.native : undefined;
    return {
      keys,
      ...(request.bytes ? { bytes } : {}),
      bytesFrom: shards.some(({ from }) => from === 'samples') ? 'samples' : (first?.from ?? 'average'),
      bytesPerKey: shards.map(({ bytesPerKey }) => bytesPerKey),
      memory: shards.map(({ used, max }) => ({ used, max })),
      ...(native === undefined ? {} : { native }),
    };
  } finally {
    crew.close();
  }
}

async function memoryOf(wire: Wire): Promise<{ readonly used: number; readonly max: number; readonly bytesPerKey: number }> {
  const [memory, size] = await wire.ask([['INFO', 'memory'], ['DBSIZE']]);
  const fields = parseInfo(String(memory));
  const keys = Number(size);
  const data = Number(fields.get('used_memory') ?? 0) - Number(fields.get('used_memory_startup') ?? 0);
  return {
    used: Number(fields.get('used_memory') ?? 0),
    max: Number(fields.get('maxmemory') ?? 0),
    bytesPerKey: keys === 0 ? 0 : Math.max(1, Math.round(data / keys)),
  };
}

/** Fills in the memory of a shard's slots. */
async function measure(wire: Wire, slots: readonly number[], keys: readonly number[], bytes: number[]): Promise<'server' | 'samples'> {
  const reply = await wire.ask([['CLUSTER', 'SLOT-STATS', 'SLOTSRANGE', 0, SLOTS - 1]]);
  const stats = Array.isArray(reply[0]) ? memoryFromStats(reply[0] as readonly Reply[]) : undefined;
  if (stats !== undefined) {
    for (const slot of slots) bytes[slot] = stats.get(slot) ?? 0;
    return 'server';
  }
  for (let at = 0; at < slots.length; at += SLOTS_A_ROUND) await sample(wire, slots.slice(at, at + SLOTS_A_ROUND), keys, bytes);
  return 'samples';
}

/** `memory-bytes` of each slot; undefined where the server does not keep it (Valkey counts keys, CPU and traffic only). */
export function memoryFromStats(rows: readonly Reply[]): ReadonlyMap<number, number> | undefined {
  const found = new Map<number, number>();
  for (const row of rows) {
    const [slot, fields] = Array.isArray(row) ? (row as readonly Reply[]) : [];
    const list = Array.isArray(fields) ? (fields as readonly Reply[]) : [];
    const at = list.findIndex((name) => Buffer.isBuffer(name) && name.toString() === 'memory-bytes');
    if (at < 0) return undefined;
    found.set(Number(slot), Number(list[at + 1]));
  }
  return found.size === 0 ? undefined : found;
}

async function sample(wire: Wire, slots: readonly number[], keys: readonly number[], bytes: number[]): Promise<void> {
  const lists = await wire.askRaw(
    slots.map((slot) => encodeCommand(['CLUSTER', 'GETKEYSINSLOT', slot, SAMPLES_A_SLOT])),
    slots.length,
  );
  const names = lists.map((list) => (list instanceof RawList ? listItems(list) : []));
  const sizes = await wire.ask(names.flat().map((name) => ['MEMORY', 'USAGE', name]));
  let at = 0;
  for (const [index, slot] of slots.entries()) {
    const own = sizes.slice(at, at + (names[index]?.length ?? 0)).filter((size) => !(size instanceof ServerError));
    at += names[index]?.length ?? 0;
    const sum = own.reduce<number>((total, size) => total + Number(size), 0);
    bytes[slot] = own.length === 0 ? 0 : Math.round((sum / own.length) * (keys[slot] ?? 0));
  }
}
