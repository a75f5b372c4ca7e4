import { existsSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { type Context, heartbeat } from '@temporalio/activity';
import type { ActivityInboundCallsInterceptor } from '@temporalio/worker';
import { createEngine } from '../../activities/docker/engine.ts';
import type { NodeRequest } from '../../activities/docker/nodes.ts';
import { type moveGroup, openSlots } from '../../activities/migration/move-group.ts';
import { labels, volumeName } from '../../config/names.ts';
import { readSettings } from '../../config/settings.ts';
import { runWorkers } from '../../workers/main.ts';
import { type Meddling, meddlingVariable, type Point } from '../support/crash-points.ts';
import { until } from '../support/processes.ts';

/**
 * The product's own worker, run by the tests with an interceptor that kills the process around one activity, or holds it there. The product has
 * no hooks for this.
 */
const {
  crashAt,
  holdAt,
  gate = '',
  litters = false,
  handsOverEarly = false,
} = JSON.parse(process.env[meddlingVariable] ?? '{}') as Meddling;
const begun = new Map<string, number>();

const meddle = (context: Context): { readonly inbound: ActivityInboundCallsInterceptor } => ({
  inbound: {
    async execute(input, next) {
      const activity = context.info.activityType;
      const occurrence = (begun.get(activity) ?? 0) + 1;
      begun.set(activity, occurrence);
      const at = async (when: Point['when']) => {
        const here = (point: Point | undefined) => point?.activity === activity && point.occurrence === occurrence && point.when === when;
        if (here(crashAt)) await die();
        if (here(holdAt)) await hold(context);
      };
      await at('before');
      if (litters && activity === 'ensureNode' && context.info.attempt > 1) await litter(input.args[0] as NodeRequest);
      const result = await next(input);
      await at('after');
      return result;
    },
  },
});

/** Nothing of this process runs after it: no finally, no last message. */
async function die(): Promise<never> {
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => undefined);
}

/** Beats as the activity itself would, so that nobody takes it for dead and a cancellation arrives; that ends it. */
async function hold(context: Context): Promise<void> {
  writeFileSync(`${gate}.held`, '');
  const beats = setInterval(() => heartbeat(context.info.heartbeatDetails), 500);
  try {
    while (!existsSync(`${gate}.open`)) await Promise.race([pause(20), context.cancelled]);
  } finally {
    clearInterval(beats);
  }
}

async function litter({ spec, place }: NodeRequest): Promise<void> {
  await createEngine(readSettings(process.env)).createVolume({
    Name: `${volumeName(place.name)}-again`,
    Labels: { [labels.cluster]: spec.name },
  });
}

/** What must never be done: the destination is told first, while the source still has keys; it throws them away when it hears of it. */
const handOverEarly: typeof moveGroup = async (group) => {
  const { source, destination, slots } = group;
  await openSlots(group);
  await destination.claim(slots);
  await until('the source has thrown its keys away', async () => (await source.count(slots)).every((keys) => keys === 0), 60_000);
};

await runWorkers({ interceptors: { activity: [meddle] }, ...(handsOverEarly ? { moveGroup: handOverEarly } : {}) });
