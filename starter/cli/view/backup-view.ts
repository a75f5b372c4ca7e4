import type { BackupDamage, BackupManifest, BackupReport, BackupSummary, Verification } from '../../../config/backup.ts';
import type { Style } from '../terminal.ts';
import { renderTable } from './table.ts';
import { formatBytes, formatCount, formatDuration, formatTime, plural, shorten } from './units.ts';

/** Only what a server has loaded is called verified. */
function proofText(how: Verification['how'] | undefined, style: Style, damaged?: BackupDamage): string {
  if (damaged !== undefined) return style.bad('damaged');
  if (how === undefined) return style.warn('unverified');
  return how === 'loaded' ? style.good('verified') : how;
}

/** Backups, newest first. */
export function renderBackups(cluster: string, backups: readonly BackupSummary[], wide: boolean, style: Style): string {
  if (backups.length === 0) return `There are no backups of ${cluster}.\n  next: holdfast backup create ${cluster}`;
  const headings = [
    'ID',
    'STATE',
    'TAKEN',
    'SHARDS',
    'KEYS',
    'SIZE',
    'STORED',
    'LABEL',
    ...(wide ? ['SERVER', 'KEEP UNTIL', 'VERIFIED AT'] : []),
  ];
  const rows = backups.map((backup) => [
    backup.id,
    backup.unreadable === undefined
      ? `${proofText(backup.proof?.how, style, backup.damaged)}${backup.held ? ', held' : ''}`
      : style.bad('unreadable'),
    formatTime(backup.startedAt),
    ...(backup.unreadable === undefined
      ? [String(backup.shards), formatCount(backup.keys), formatBytes(backup.plainBytes), formatBytes(backup.storedBytes)]
      : ['-', '-', '-', '-']),
    backup.label === undefined ? '-' : shorten(backup.label, wide ? 200 : 40),
    ...(wide
      ? [
          backup.server === '' ? '-' : backup.server,
          backup.keepUntil === undefined ? '-' : formatTime(backup.keepUntil),
          backup.proof === undefined ? '-' : formatTime(backup.proof.at),
        ]
      : []),
  ]);
  const findings = backups.flatMap(({ unreadable }) => (unreadable === undefined ? [] : [`${style.bad('unreadable')}: ${unreadable}`]));
  return [renderTable(headings, rows, style), ...(findings.length === 0 ? [] : ['', ...findings])].join('\n');
}

/** One backup, with its shards. */
export function renderBackup(manifest: BackupManifest, wide: boolean, style: Style): string {
  const { id, cluster, label, keepUntil, hold, startedAt, finishedAt, generation, shards, acl, verified, damaged } = manifest;
  const line = (title: string, text: string) => `  ${style.dim(title.padEnd(10))} ${text}`;
  const took = formatDuration(Date.parse(finishedAt) - Date.parse(startedAt));
  const rows = shards.map(({ shard, node, server, keys, functions, object, slots, replid, offset, tookMs, key }) => [
    String(shard),
    node,
    formatCount(keys),
    String(functions),
    formatBytes(object.plainBytes),
    formatBytes(object.storedBytes),
    formatDuration(tookMs),
    shorten(slots === '' ? '-' : slots, wide ? 200 : 24),
    ...(wide ? [`${server.engine} ${server.version}`, `${replid} ${offset}`, key] : []),
  ]);
  const headings = [
    'SHARD',
    'FROM',
    'KEYS',
    'LIBRARIES',
    'SIZE',
    'STORED',
    'TOOK',
    'SLOTS',
    ...(wide ? ['SERVER', 'PLACE IN ITS STREAM', 'OBJECT'] : []),
  ];
  return [
    `${style.strong(id)} of ${cluster}: ${proofText(verified?.how, style, damaged)}`,
    ...(label === undefined ? [] : [line('label', label)]),
    line('taken', `${formatTime(startedAt)}, in ${took}; generation ${generation} of the spec`),
    line('verified', verifiedText(verified, style)),
    ...(damaged === undefined ? [] : [line('damaged', style.bad(`found ${formatTime(damaged.at)}: ${damaged.why}`))]),
    ...(keepUntil === undefined ? [] : [line('keep until', formatTime(keepUntil))]),
    ...(hold === undefined ? [] : [line('held', `by ${hold.by} since ${formatTime(hold.since)}: ${hold.reason}`)]),
    line('users', acl === undefined ? 'not stored' : 'stored, sealed'),
    '',
    renderTable(headings, rows, style),
  ].join('\n');
}

function verifiedText(verified: Verification | undefined, style: Style): string {
  if (verified === undefined) return style.warn('no: nobody has proved that it can be loaded');
  const { how, at, tookMs, server, shards } = verified;
  const when = `${formatTime(at)}, in ${formatDuration(tookMs)}`;
  if (how !== 'loaded') return `no; ${how} ${when}: every byte is as it was stored`;
  const keys = shards.reduce((sum, shard) => sum + shard.keys, 0);
  return `${when}: ${server?.engine} ${server?.version} has loaded ${plural(shards.length, 'shard')} with ${formatCount(keys)} keys`;
}

/** What an operation says of the backup that it made. */
export function backupLines({ id, shards, keys, plainBytes, storedBytes, storedMs, how }: BackupReport, style: Style): readonly string[] {
  const title = (text: string) => style.dim(text.padEnd(7));
  return [
    `  ${title('backup')} ${id}: ${proofText(how, style)}`,
    `  ${title('stored')} ${plural(shards, 'shard')}, ${formatCount(keys)} keys, ${formatBytes(plainBytes)} as ${formatBytes(storedBytes)}, in ${formatDuration(storedMs)}`,
  ];
}
