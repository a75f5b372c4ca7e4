import type { ClusterKeys, KeyReport, MasterKeyIds } from '../../../config/keys.ts';
import type { Style } from '../terminal.ts';
import { renderTable } from './table.ts';
import { plural } from './units.ts';

/** What is sealed under which master key; what a rotation would change, with how to have it done. */
export function renderKeys({ master, clusters }: KeyReport, style: Style): string {
  const also = master.others.length === 0 ? '' : `, and opens with ${master.others.join(' and ')}, too`;
  const head = `The worker seals under master key ${style.strong(master.current)}${also}.`;
  if (clusters.length === 0) return `${head}\nNothing is sealed of any cluster yet.`;
  const rows = clusters.map((cluster) => [
    cluster.cluster,
    String(cluster.keys.length),
    cluster.keys.at(-1)?.id ?? '-',
    mastersOf(cluster)
      .map((id) => (id === master.current ? style.good(id) : master.others.includes(id) ? style.warn(id) : style.bad(id)))
      .join(', '),
  ]);
  const left = clusters.filter((cluster) => mastersOf(cluster).some((id) => master.others.includes(id)));
  const closed = clusters.filter((cluster) => isClosed(cluster, hereOf(master)));
  return [
    head,
    '',
    renderTable(['CLUSTER', 'KEYS', 'NEWEST', 'SEALED UNDER'], rows, style),
    ...(left.length === 0
      ? []
      : [
          '',
          `${plural(left.length, 'cluster')} ${left.length === 1 ? 'is' : 'are'} not sealed under ${master.current} alone. When every worker seals under it:`,
          ...left.map(({ cluster, secrets }) => `  next: holdfast keys rotate ${cluster}${secrets === undefined ? ' --no-new-key' : ''}`),
        ]),
    ...(closed.length === 0
      ? []
      : [
          '',
          `${style.bad('not here')}: a master key of ${closed.map(({ cluster }) => cluster).join(', ')}. Add it to the workers' master keys.`,
        ]),
  ].join('\n');
}

const hereOf = ({ current, others }: MasterKeyIds): ReadonlySet<string> => new Set([current, ...others]);

/** Something of it opens with none of these. */
const isClosed = ({ secrets, keys }: ClusterKeys, here: ReadonlySet<string>): boolean =>
  (secrets !== undefined && !here.has(secrets)) || keys.some(({ under }) => !under.some((id) => here.has(id)));

const mastersOf = ({ secrets, keys }: ClusterKeys): readonly string[] =>
  [...new Set([...keys.flatMap(({ under }) => under), ...(secrets === undefined ? [] : [secrets])])].toSorted();
