import { sweep, uniqueName } from '../test/support/clusters.ts';
import { type Stack, startStack } from '../test/support/stack.ts';
import { compiledWorker } from './compiled.ts';
import { median, table, verdictLine } from './measure.ts';
import { wholeNumber } from './options.ts';
import { importKeys, loadAgain, type Restored, restore } from './restore-contenders.ts';
import { deprovision, makeSource, VALUE_BYTES } from './restore-data.ts';

const TARGET = { load: 0.9, spread: 10 };
const SHARDS = 3;
/** As the operation does when nobody says otherwise. */
const AT_ONCE = 2;

interface Round {
  readonly same: Restored;
  readonly loadMs: number;
  readonly other: Restored;
  /** Keys a second, one source after the other, and as many at once as Holdfast reads. */
  readonly imported: { readonly one: number; readonly several: number };
}

/**
 * A backup brought back: into as many shards, against what the same servers need to load the same directories again; into another number of shards, against `redis-cli --cluster import`. Options are
 * variables: HOLDFAST_BENCH_ROUNDS, HOLDFAST_BENCH_KEYS, HOLDFAST_BENCH_IMPORT_KEYS (for the CLI, which would take long over all of them).
 */
export async function benchRestore(): Promise<void> {
  const rounds = wholeNumber('HOLDFAST_BENCH_ROUNDS', 3);
  const keys = wholeNumber('HOLDFAST_BENCH_KEYS', 4_000_000);
  const importedKeys = wholeNumber('HOLDFAST_BENCH_IMPORT_KEYS', 150_000);
  const stack = await startStack({ withWorker: false });
  stack.startWorker(await compiledWorker());
  const names: string[] = [];
  const named = () => {
    names.push(uniqueName('b'));
    return names.at(-1) ?? '';
  };
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => reject(new Error(`ended by ${signal}`)));
  });
  interrupted.catch(() => undefined);
  const work = async () => {
    const cluster = named();
    const { backup, rdbBytes } = await makeSource(stack, cluster, keys);
    process.stderr.write(`${keys} keys are backed up, ${Math.round(rdbBytes / 1024 ** 2)} MiB of RDB\n`);
    const all: Round[] = [];
    for (let round = 0; round < rounds; round++) {
      all.push(await takeRound(stack, { cluster, backup, keys, importedKeys, named }));
      process.stderr.write(`round ${round + 1} of ${rounds}: ${JSON.stringify(all.at(-1))}\n`);
    }
    report(all, keys, rdbBytes, importedKeys);
  };
  try {
    await Promise.race([work(), interrupted]);
  } finally {
    for (const name of names) await sweep(stack.dependencies.docker, name);
    await stack.stop();
  }
}

async function takeRound(
  stack: Stack,
  {
    cluster,
    backup,
    keys,
    importedKeys,
    named,
  }: {
    readonly cluster: string;
    readonly backup: string;
    readonly keys: number;
    readonly importedKeys: number;
    readonly named: () => string;
  },
): Promise<Round> {
  const into = named();
  const same = await restore(stack, { cluster, backup, into, changes: {} });
  const loadMs = await loadAgain(stack, into, keys);
  process.stderr.write(`into as many shards: ${JSON.stringify({ ...same, loadMs })}\n`);
  await deprovision(stack, into);
  const larger = named();
  const other = await restore(stack, { cluster, backup, into: larger, changes: { shards: SHARDS + 1 } });
  const asked = { keys: importedKeys, sources: SHARDS };
  const one = await importKeys(stack, larger, { ...asked, atOnce: 1 });
  const several = await importKeys(stack, larger, { ...asked, atOnce: AT_ONCE });
  await deprovision(stack, larger);
  return { same, loadMs, other, imported: { one, several } };
}

function report(rounds: readonly Round[], keys: number, rdbBytes: number, importedKeys: number): void {
  const of = (pick: (round: Round) => number) => median(rounds.map(pick));
  const seconds = (pick: (round: Round) => number) => (of(pick) / 1000).toFixed(2);
  const mb = (pick: (round: Round) => number) => (rdbBytes / 1e3 / of(pick)).toFixed(0);
  const rate = (pick: (round: Round) => number) => `${Math.round(of(pick))}`;
  const dataMs = ({ same }: Round) => same.dataMs;
  const perSecond = ({ other }: Round) => (other.keys / other.dataMs) * 1000;
  console.log(
    `\n${keys} keys of ${VALUE_BYTES} B in ${SHARDS} shards, ${Math.round(rdbBytes / 1024 ** 2)} MiB of RDB, TLS off; medians of ${rounds.length}\n`,
  );
  console.log(
    table([
      ['into as many shards', 's', 'MB/s of RDB'],
      ['restore, from the first activity to verified', seconds(({ same }) => same.tookMs), mb(({ same }) => same.tookMs)],
      ['its data part: read, open, lay out, load, count', seconds(dataMs), mb(dataMs)],
      ['of that, until all is laid out', seconds(({ same }) => same.layOutMs ?? 0), mb(({ same }) => same.layOutMs ?? 0)],
      [
        'of that, from then on',
        seconds(({ same }) => same.dataMs - (same.layOutMs ?? 0)),
        mb(({ same }) => same.dataMs - (same.layOutMs ?? 0)),
      ],
      ['the same servers, started again on the same directories', seconds(({ loadMs }) => loadMs), mb(({ loadMs }) => loadMs)],
    ]),
  );
  console.log('');
  console.log(
    table([
      [`into ${SHARDS + 1} shards`, 's', 'keys/s'],
      ['restore, data part: read, open, take apart, lay out, load', seconds(({ other }) => other.dataMs), rate(perSecond)],
      [`redis-cli --cluster import of ${importedKeys} keys, loaded already`, '', rate(({ imported }) => imported.one)],
      [`the same, ${AT_ONCE} at once`, '', rate(({ imported }) => imported.several)],
    ]),
  );
  const ratio = median(rounds.map(({ same, loadMs }) => loadMs / same.dataMs));
  const spread = median(rounds.map((round) => perSecond(round) / round.imported.one));
  console.log('');
  for (const verdict of [
    {
      words: `data part at ${ratio.toFixed(2)} times the speed of the load alone, target at least ${TARGET.load}`,
      met: ratio >= TARGET.load,
    },
    {
      words: `keys into other shards ${spread.toFixed(1)} times as fast as by the CLI, target at least ${TARGET.spread}`,
      met: spread >= TARGET.spread,
    },
  ])
    console.log(verdictLine(verdict));
}
