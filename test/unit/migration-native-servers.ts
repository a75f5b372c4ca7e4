import { type Reply, ServerError, type Word } from '../../activities/redis/protocol.ts';
import type { Wire } from '../../activities/redis/wire.ts';

/** What becomes of a job: a server does not take it, or takes it and comes to an end of it. */
export type Fate = 'refused' | 'forgotten' | 'success' | 'failed' | 'cancelled';

interface Job {
  readonly id: string;
  state: string;
  readonly end: string;
  /** Looks at it before it has ended. */
  looks: number;
}

export interface NativeServer {
  readonly wire: Wire;
  /** Every command, in order. */
  readonly asked: string[];
  /** Jobs that it was asked to do. */
  asks(): number;
  /** Something that somebody else has begun, which runs for so many looks, or until it is cancelled. */
  busy(looks: number): void;
}

const flat = (fields: Readonly<Record<string, string | number>>): Reply =>
  Object.entries(fields).flatMap(([name, value]) => [Buffer.from(name), typeof value === 'number' ? value : Buffer.from(value)]);

/** Words by which the two call the ends of a job, and one that runs. */
const WORDS = {
  valkey: { runs: 'replicating', success: 'success', failed: 'failed', cancelled: 'cancelled' },
  redis: { runs: 'streaming', success: 'completed', failed: 'failed', cancelled: 'canceled' },
} as const;

/**
 * A server that moves slots by itself as it is told, since a real one does not fail on demand. It answers in the shape of Valkey 9.1, or
 * of Redis 8.4. Jobs of which it knows from before have ended well.
 * @param fates of the jobs that it is asked for, one after the other; the last one of all that follow
 */
export function createNativeServer(kind: 'valkey' | 'redis', fates: readonly Fate[] = ['success'], looks = 2): NativeServer {
  const words = WORDS[kind];
  const asked: string[] = [];
  const jobs: Job[] = [{ id: 'before', state: words.success, end: words.success, looks: 0 }];
  let asks = 0;
  const begin = (): Reply => {
    const fate = fates[Math.min(asks, fates.length - 1)] ?? 'success';
    asks++;
    if (fate === 'refused') return new ServerError('ERR not today');
    if (fate !== 'forgotten') jobs.push({ id: `job ${asks}`, state: words.runs, end: words[fate], looks });
    return kind === 'valkey' ? 'OK' : Buffer.from(`job ${asks}`);
  };
  const look = (id?: string): Reply => {
    const wanted = jobs.filter((job) => id === undefined || job.id === id);
    return wanted.map((job) => {
      if (job.state === words.runs && job.looks-- <= 0) job.state = job.end;
      return kind === 'valkey'
        ? flat({ name: job.id, operation: 'EXPORT', slot_ranges: '0-3', create_time: 1, state: job.state, message: 'the link broke' })
        : flat({ id: job.id, slots: '0-3', operation: 'import', state: job.state, last_error: 'the link broke', retries: 1 });
    });
  };
  const cancel = (id?: string): Reply => {
    // A task of Redis that has failed is tried again until it is cancelled.
    const running = jobs.filter(
      (job) => (id === undefined || job.id === id) && [words.runs, words.failed].some((one) => one === job.state),
    );
    for (const job of running) job.state = words.cancelled;
    return running.length === 0 ? new ServerError('ERR No migrations ongoing') : 'OK';
  };
  const answer = (command: readonly Word[]): Reply => {
    const text = command.join(' ');
    asked.push(text);
    if (text.startsWith('COMMAND INFO')) return kind === 'valkey' ? [['cluster|migrateslots'], null] : [null, ['cluster|migration']];
    if (/^CLUSTER (MIGRATESLOTS|MIGRATION IMPORT)/.test(text)) return begin();
    if (text === 'CLUSTER GETSLOTMIGRATIONS' || text === 'CLUSTER MIGRATION STATUS ALL') return look();
    if (text === 'CLUSTER CANCELSLOTMIGRATIONS' || text === 'CLUSTER MIGRATION CANCEL ALL') return cancel();
    const [, what, id] = /^CLUSTER MIGRATION (STATUS|CANCEL) ID (.*)$/.exec(text) ?? [];
    if (what !== undefined) return what === 'STATUS' ? look(id) : cancel(id);
    return new ServerError(`ERR unknown command ${text}`);
  };
  const wire = {
    ask: async (commands: readonly (readonly Word[])[]) => commands.map(answer),
    async one(...command: readonly Word[]) {
      const reply = answer(command);
      if (reply instanceof ServerError) throw reply;
      return reply;
    },
  } as unknown as Wire;
  return {
    wire,
    asked,
    asks: () => asks,
    busy: (looks) => void jobs.push({ id: 'of another', state: words.runs, end: words.success, looks }),
  };
}
