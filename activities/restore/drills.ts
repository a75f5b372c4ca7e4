import { backupKeys } from '../../config/names.ts';
import { type DrillReport, drillReport } from '../../config/restore.ts';
import { readJson } from '../storage/json.ts';
import type { ObjectStore } from '../storage/object-store.ts';

export const writeDrill = (store: ObjectStore, report: DrillReport): Promise<void> =>
  store.put(backupKeys.drill(report.cluster), `${JSON.stringify(drillReport.parse(report), null, 2)}\n`);

/** The last drill of a cluster; undefined when there was none, or what is there cannot be read: it is for people, and the next one replaces it. */
export async function readDrill(store: ObjectStore, cluster: string): Promise<DrillReport | undefined> {
  const parsed = drillReport.safeParse(readJson(await store.get(backupKeys.drill(cluster))));
  return parsed.success ? parsed.data : undefined;
}
