import type { ArchiveStatus } from '../../../config/archive.ts';
import type { Finding, NodeStatus, StatusReport, Verdict } from '../../../config/status.ts';
import type { Style } from '../terminal.ts';
import { renderJournal } from './journal-view.ts';
import { renderTable } from './table.ts';
import { formatBytes, formatDuration, formatTime, plural, shorten } from './units.ts';

export const verdictPaint = (verdict: Verdict, style: Style) =>
  ({ healthy: style.good, degraded: style.warn, down: style.bad, absent: style.dim })[verdict];

const severityPaint = (severity: Finding['severity'], style: Style) =>
  ({ critical: style.bad, warning: style.warn, info: style.accent })[severity];

const memory = ({ memoryUsedBytes, memoryMaxBytes }: NodeStatus) => {
  if (memoryUsedBytes === undefined) return '-';
  return memoryMaxBytes === undefined || memoryMaxBytes === 0
    ? formatBytes(memoryUsedBytes)
    : `${formatBytes(memoryUsedBytes)} / ${formatBytes(memoryMaxBytes)}`;
};

const stateText = (state: NodeStatus['state'], style: Style) =>
  state === 'running' ? style.good(state) : state === 'restarting' ? style.warn(state) : style.bad(state);

function nodeCells(node: NodeStatus, wide: boolean, style: Style): readonly string[] {
  const role = node.role === 'primary' ? style.strong(node.role) : node.role === 'unknown' ? style.bad(node.role) : node.role;
  const lag = node.lagBytes === undefined ? '-' : formatBytes(node.lagBytes);
  const cells = [node.name, role, stateText(node.state, style), node.address, lag, memory(node)];
  const uptime = node.uptimeSeconds === undefined ? '-' : formatDuration(node.uptimeSeconds * 1000);
  return wide ? [...cells, node.host, node.version ?? '-', uptime] : cells;
}

function nodesTable(report: StatusReport, wide: boolean, style: Style): string {
  const headings = [
    'SHARD',
    'SLOTS',
    'KEYS',
    'NODE',
    'ROLE',
    'STATE',
    'ADDRESS',
    'LAG',
    'MEMORY',
    ...(wide ? ['HOST', 'VERSION', 'UPTIME'] : []),
  ];
  const rows = report.shards.flatMap((shard) => {
    const nodes = [...shard.nodes].sort((a, b) => Number(b.role === 'primary') - Number(a.role === 'primary'));
    const shown = shard.slots.slice(0, wide ? 8 : 2).join(' ');
    const slots = shard.slots.length === 0 ? '-' : shard.slots.length > (wide ? 8 : 2) ? `${shown} … (${shard.slotCount})` : shown;
    return nodes.map((node, index) => [
      ...(index === 0 ? [String(shard.shard), slots, shard.keys === undefined ? '-' : String(shard.keys)] : ['', '', '']),
      ...nodeCells(node, wide, style),
    ]);
  });
  const sentinels = report.sentinels.map((node) => ['-', '-', '-', ...nodeCells(node, wide, style)]);
  return renderTable(headings, [...rows, ...sentinels], style);
}

/** A finding and, under it, what to do about it. */
export function renderFinding(finding: Finding, style: Style): string {
  const mark = { critical: '✖', warning: '!', info: 'i' }[finding.severity];
  const head = `${severityPaint(finding.severity, style)(`${mark} ${finding.code}`)}  ${finding.subject}: ${finding.message}`;
  return `  ${head}\n      next: ${finding.next}`;
}

/** What several nodes have alike is one finding about all of them. */
export function groupFindings(findings: readonly Finding[]): readonly Finding[] {
  const groups = new Map<string, Finding>();
  for (const finding of findings) {
    const key = JSON.stringify([finding.severity, finding.code, finding.message, finding.next]);
    const same = groups.get(key);
    groups.set(key, same === undefined ? finding : { ...same, subject: `${same.subject}, ${finding.subject}` });
  }
  return [...groups.values()];
}

function facts({ spec, generation }: StatusReport): string {
  if (spec === undefined) return 'no spec is held';
  const size =
    spec.mode === 'cluster'
      ? `${plural(spec.shards, 'shard')}, ${plural(spec.replicasPerShard, 'replica')} each`
      : `1 primary, ${plural(spec.replicasPerShard, 'replica')}, ${plural(spec.sentinels, 'sentinel')}`;
  const tls = spec.security.tls ? 'TLS' : 'no TLS';
  return [`${spec.engine} ${spec.version}`, spec.mode, size, tls, ...(generation === undefined ? [] : [`generation ${generation}`])].join(
    ' · ',
  );
}

function drillLine({ ok, summary, startedAt }: NonNullable<StatusReport['drill']>, style: Style): string {
  const said = `last drill ${formatTime(startedAt)}: ${summary}`;
  return ok ? `  ${style.dim(said)}` : `  ${style.bad(`✖ ${said}`)}`;
}

/** How far the writes of each shard are archived. */
function archiveTable({ running, shards }: ArchiveStatus, wide: boolean, style: Style): string {
  if (!running) return style.warn('  its writes are not archived now');
  const rows = shards.map(({ shard, archivedTo, lagMs, node, timeline, problem }) => [
    String(shard),
    archivedTo === undefined ? '-' : formatTime(archivedTo),
    lagMs === undefined ? style.warn('not followed') : formatDuration(lagMs),
    node ?? '-',
    ...(wide ? [timeline ?? '-', shorten(problem ?? '-', 80)] : []),
  ]);
  return renderTable(['SHARD', 'ARCHIVED TO', 'LAG', 'FOLLOWED', ...(wide ? ['TIMELINE', 'PROBLEM'] : [])], rows, style);
}

/** When the next backup is, how old the newest ones are, and how the last scheduled run went. */
export function backupLines({ backups, observedAt }: StatusReport, style: Style): readonly string[] {
  if (backups === undefined) return [`  ${style.dim('backups')}  nobody answered`];
  const { schedule, newest, newestVerified } = backups;
  const age = (at: string) => `${formatDuration(Math.max(0, Date.parse(observedAt) - Date.parse(at)))} old`;
  const last = schedule?.lastRun;
  const runs =
    schedule === undefined || schedule === null
      ? 'no schedule'
      : [
          schedule.madeFrom.paused
            ? style.warn('schedule paused')
            : `next ${schedule.nextAt === undefined ? 'never' : formatTime(schedule.nextAt)}`,
          ...(last === undefined
            ? []
            : [last.outcome === 'failed' ? style.bad('last run failed') : last.outcome === 'running' ? 'one runs now' : 'last run done']),
          ...(schedule.missed > 0 ? [style.warn(`${schedule.missed} missed`)] : []),
          ...(schedule.skipped > 0 ? [`${schedule.skipped} skipped`] : []),
        ].join(', ');
  const held =
    backups.backups === undefined
      ? 'nobody answered what is stored'
      : newest === undefined
        ? 'none stored'
        : newestVerified === undefined
          ? `newest ${newest.id}, ${age(newest.startedAt)}, ${style.warn('none verified')}`
          : `newest verified ${newestVerified.id}, ${age(newestVerified.startedAt)}${newest.id === newestVerified.id ? '' : `; newest ${newest.id}, ${style.warn('not verified')}`}`;
  return [`  ${style.dim('backups')}  ${held}; ${runs}`];
}

/** The verdict first, then what needs attention, then every node. */
export function renderStatus(report: StatusReport, wide: boolean, style: Style): string {
  const paint = verdictPaint(report.verdict, style);
  const lines = [`${paint(`● ${report.cluster}`)} ${style.strong(paint(report.verdict))}  ${report.headline}`];
  if (report.verdict === 'absent') {
    const stored = report.backups?.backups ?? 0;
    const kept =
      stored === 0
        ? []
        : [`  ${plural(stored, 'backup')} of it ${stored === 1 ? 'is' : 'are'} stored: holdfast backup list ${report.cluster}`];
    return [...lines, ...kept, '  next: holdfast apply -f spec.yaml'].join('\n');
  }
  lines.push(style.dim(`  ${facts(report)}${report.network === undefined ? '' : ` · ${report.network.subnet}`}`));
  if (report.running !== undefined) {
    const { operation, workflowId } = report.running;
    lines.push(`  ${style.accent(operation)} is running: holdfast operations show ${workflowId} --watch`);
  }
  lines.push(...backupLines(report, style));
  if (report.findings.length > 0) lines.push('', ...groupFindings(report.findings).map((finding) => renderFinding(finding, style)));
  if (report.shards.length + report.sentinels.length > 0) lines.push('', nodesTable(report, wide, style));
  if (report.archive !== undefined) lines.push('', archiveTable(report.archive, wide, style));
  if (report.drill !== undefined) lines.push('', drillLine(report.drill, style));
  const recent = report.journal.slice(wide ? -10 : -3);
  if (recent.length > 0) lines.push('', renderJournal(recent, false, style));
  return lines.join('\n');
}
