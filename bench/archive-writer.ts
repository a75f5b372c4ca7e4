import { Redis } from 'ioredis';

/** What `archive.ts` tells this process to write, as one line on its input. */
export interface WriterOrder {
  readonly address: string;
  readonly password: string;
  readonly user: string;
  readonly caCert?: string;
  readonly bytes: number;
  readonly keys: number;
  /** Writes in all. */
  readonly count: number;
  /** As many as can be, without it. */
  readonly perSecond?: number;
}

const BATCH = 500;

async function write({ address, user, password, caCert, bytes, keys, count, perSecond }: WriterOrder): Promise<void> {
  const redis = new Redis({ host: address, username: user, password, ...(caCert === undefined ? {} : { tls: { ca: caCert } }) });
  const values = Array.from({ length: 64 }, () =>
    Array.from({ length: Math.ceil(bytes / 10) }, () => Math.random().toString(36).slice(2, 12))
      .join('')
      .slice(0, bytes),
  );
  const startedAt = performance.now();
  for (let done = 0; done < count; done += BATCH) {
    const batch = redis.pipeline();
    for (let at = 0; at < BATCH; at++) batch.set(`key:${Math.floor(Math.random() * keys)}`, values[at % values.length] ?? '');
    await batch.exec();
    const ahead = perSecond === undefined ? 0 : ((done + BATCH) / perSecond) * 1000 - (performance.now() - startedAt);
    if (ahead > 0) await new Promise((resolve) => setTimeout(resolve, ahead));
  }
  process.stdout.write(`${JSON.stringify({ perSecond: Math.round((count / (performance.now() - startedAt)) * 1000) })}\n`);
  redis.disconnect();
}

process.stdin.once('data', (line) => void write(JSON.parse(String(line)) as WriterOrder));
