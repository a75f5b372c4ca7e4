import { setTimeout as sleep } from 'node:timers/promises';
import type { MoveLimits } from '../../config/migration.ts';
import { afterBatch, afterProbe, firstPace, keysWithin, type Pace } from '../../model/migration/pace.ts';
import type { Lease } from './lease.ts';
import type { Throttle } from './move-group.ts';
import type { Probe } from './probe.ts';

/** Decides how fast lanes go, when they stand still and when they end. */
export interface Governor {
  /** The throttle of the lane of a source; it keeps what it has learned. @param bytesPerKey of its source, about */
  throttle(source: number, bytesPerKey: number): Throttle;
  /**
   * Waits while the move is held. `stop` when the lane shall not open another group; `look` when it has waited for a while: what holds it up may
   * be a shard that has no primary any more.
   */
  mayOpen(): Promise<'open' | 'stop' | 'look'>;
  /** No more groups: a person wants it so, or something failed. */
  stop(): void;
  readonly stopping: boolean;
  /** Why it is slow or stands still, for a person. */
  state(): { readonly state: 'moving' | 'slowed' | 'held' | 'closing'; readonly why?: string };
  heldMs(): number;
  end(): void;
}

/** A throttle without a probe, for what must be closed anyway. */
export function steadyThrottle(limits: MoveLimits, lease?: Lease): Throttle {
  let pace = firstPace;
  return {
    batchKeys: () => Math.min(pace.batchKeys, limits.batchKeys),
    batchBytes: limits.batchBytes,
    async moved(keys, tookMs) {
      pace = afterBatch(pace, { keys, tookMs }, limits);
    },
    mayGoOn: async () => lease?.mayGoOn(),
  };
}

const LOOK_EVERY_MS = 250;
/** So long must the probe be calm before a held move goes on. */
const CALM_MS = 3000;
const FEWEST_SAMPLES = 20;
/** So long is a held move only waited for, before somebody looks what is amiss. */
const LOOK_AFTER_MS = 5000;
/** Shorter rests are saved up: a timer is no more exact than this. */
const SHORTEST_SLEEP_MS = 2;

export function createGovernor(probe: Probe, lease: Lease, limits: MoveLimits, heldBefore: number): Governor {
  const paces = new Map<number, { pace: Pace; owedMs: number }>();
  let stopping = false;
  let slow = 0;
  let held: { readonly since: number; readonly why: string; calmSince: number } | undefined;
  let heldMs = heldBefore;

  const look = () => {
    if (lease.over) stopping = true;
    const { p99, max, waiting, samples } = probe.recent();
    const worst = Math.max(max, waiting);
    const now = Date.now();
    if (worst > limits.stallMs) {
      const why = `the probe waited ${Math.round(worst)} ms for an answer, more than stallMs (${limits.stallMs})`;
      held = { since: held?.since ?? now, why, calmSince: now };
    } else if (held !== undefined && now - held.calmSince > CALM_MS) {
      heldMs += now - held.since;
      held = undefined;
      for (const lane of paces.values()) lane.pace = firstPace;
    }
    if (samples < FEWEST_SAMPLES) return;
    slow = p99 > limits.probeP99Ms ? p99 : 0;
    for (const lane of paces.values()) lane.pace = afterProbe(lane.pace, p99, limits);
  };
  const timer = setInterval(look, LOOK_EVERY_MS);

  return {
    throttle(source, bytesPerKey) {
      const lane = paces.get(source) ?? { pace: firstPace, owedMs: 0 };
      paces.set(source, lane);
      return {
        batchKeys: () => keysWithin(lane.pace, bytesPerKey, limits),
        batchBytes: limits.batchBytes,
        async moved(keys, tookMs) {
          lane.pace = afterBatch(lane.pace, { keys, tookMs }, limits);
          lane.owedMs += lane.pace.rest * tookMs;
          // Who wants it to stop wants the open slots closed soon.
          if (lane.owedMs < SHORTEST_SLEEP_MS || stopping) return;
          const rest = lane.owedMs;
          lane.owedMs = 0;
          await sleep(rest);
        },
        mayGoOn: lease.mayGoOn,
      };
    },
    async mayOpen() {
      const start = Date.now();
      while (!stopping && (held !== undefined || lease.whyNot() !== undefined)) {
        if (held !== undefined && Date.now() - start > LOOK_AFTER_MS) return 'look';
        await sleep(50);
      }
      return stopping ? 'stop' : 'open';
    },
    stop: () => {
      stopping = true;
    },
    get stopping() {
      return stopping;
    },
    state() {
      if (stopping) return { state: 'closing', why: 'no more slots are opened; those that are open are finished' };
      const unconfirmed = lease.whyNot();
      if (unconfirmed !== undefined) return { state: 'held', why: unconfirmed };
      if (held !== undefined) return { state: 'held', why: held.why };
      if (slow > 0) return { state: 'slowed', why: `p99 of the probe is ${slow.toFixed(1)} ms, its budget ${limits.probeP99Ms} ms` };
      return { state: 'moving' };
    },
    heldMs: () => Math.round(heldMs + (held === undefined ? 0 : Date.now() - held.since)),
    end: () => clearInterval(timer),
  };
}
