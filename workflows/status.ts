import { type ClusterSummary, listInput, type StatusReport, statusInput } from '../config/status.ts';
import { withArchive } from '../model/archive-status.ts';
import { summariseClusters } from '../model/cluster-list.ts';
import { DEFAULT_HOST, hostOf, hostOfKnown } from '../model/known-cluster.ts';
import { liveParameters } from '../model/server-conf.ts';
import { reportStatus } from '../model/status-report.ts';
import { plainly } from './support/failure.ts';
import { readInput } from './support/input.ts';
import { asides, controlReads, hostReads } from './support/proxies.ts';

/** What is true of a cluster now, asked of every node. Takes no lock: it only looks. */
export async function status(raw: unknown): Promise<StatusReport> {
  const { cluster } = readInput(statusInput, raw, 'status');
  return plainly(async () => {
    const backups = asides.readBackupStatus(cluster).catch(() => undefined); // the rest is worth telling without it
    const drilled = asides.readDrill(cluster).catch(() => undefined);
    const [known, journal, holder] = await Promise.all([
      controlReads.readCluster(cluster),
      controlReads.readJournal(cluster),
      controlReads.findLockHolder(cluster),
    ]);
    const observation = await hostReads(hostOfKnown(known)).observe({
      cluster,
      parameters: known.spec === undefined ? [] : Object.keys(liveParameters(known.spec)),
      ...(known.spec === undefined ? {} : { tls: known.spec.security.tls }),
    });
    const held = reportStatus(known, observation, journal, holder, await backups);
    const drill = await drilled;
    const report = { ...held, ...(drill === undefined ? {} : { drill }) };
    if (known.spec?.pitr.enabled !== true) return report;
    const archive = await controlReads.readArchiveProgress(cluster).catch(() => undefined); // the rest is worth telling without it
    return archive === undefined ? report : withArchive(report, known.spec, archive, Date.now());
  });
}

/** Every cluster that Holdfast has on record or that the default host holds anything of. */
export async function list(raw: unknown): Promise<readonly ClusterSummary[]> {
  readInput(listInput, raw ?? {}, 'list');
  const records = await plainly(() => controlReads.listRecords());
  const hosts = [...new Set([DEFAULT_HOST, ...records.map((record) => hostOf(record.spec))])];
  const found = await Promise.all(
    hosts.map(async (host) => ({
      host,
      clusters: await hostReads(host)
        .listClusters()
        .catch(() => undefined), // no worker of that host answers; the list says so
    })),
  );
  return summariseClusters(records, found);
}
