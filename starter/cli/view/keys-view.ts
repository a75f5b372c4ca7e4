import type { ClusterKeys, KeyReport, MasterKeyIds } from '../../../config/keys.ts';
import type { Style } from '../terminal.ts';
import { renderTable } from './table.ts';
import { plural } from './units.ts';

/** What is sealed under which master key; what a rotation would change, with how to have it done. */
export function renderKeys({ master, clusters }: KeyReport, style: Style): string {
  const older = master.former.length === 0 ? '' : `, and opens with ${master.former.join(' and ')} what is older`;
  const head = `The worker seals under master key ${style.strong(master.current)}${older}.`;
  if (clusters.length === 0) return `${head}\nNothing is sealed of any cluster yet.`;
  const rows = clusters.map((cluster) => [
    cluster.cluster,
    String(cluster.keys.length),
    cluster.keys.at(-1)?.id ?? '-',
    mastersOf(cluster)
      .map((id) => (id === master.current ? style.good(id) : master.former.includes(id) ? style.warn(id) : style.bad(id)))
      .join(', '),
  ]);
  const left = clusters.filter((cluster) => mastersOf(cluster).some((id) => master.former.includes(id)));
  const closed = clusters.filter((cluster) => mastersOf(cluster).some((id) => !hereOf(master).has(id)));
  return [
    head,
    '',
    renderTable(['CLUSTER', 'KEYS', 'NEWEST', 'SEALED UNDER'], rows, style),
    ...(left.length === 0
      ? []
      : [
          '',
          `${plural(left.length, 'cluster')} ${left.length === 1 ? 'depends' : 'depend'} on a former master key.`,
          ...left.map(({ cluster }) => `  next: holdfast keys rotate ${cluster}`),
        ]),
    ...(closed.length === 0
      ? []
      : [
          '',
          `${style.bad('not here')}: a master key of ${closed.map(({ cluster }) => cluster).join(', ')}. Add it to the workers' master keys.`,
        ]),
  ].join('\n');
}

const hereOf = ({ current, former }: MasterKeyIds): ReadonlySet<string> => new Set([current, ...former]);

const mastersOf = ({ secrets, keys }: ClusterKeys): readonly string[] =>
  [...new Set([...keys.flatMap(({ under }) => under), ...(secrets === undefined ? [] : [secrets])])].toSorted();
