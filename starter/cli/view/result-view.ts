import type { LedgerSummary, MoveReport } from '../../../config/migration.ts';
import type { OperationResult } from '../../../config/progress.ts';
import type { Style } from '../terminal.ts';
import { backupLines } from './backup-view.ts';
import { formatBytes, formatCount, formatDuration, formatLatency, plural } from './units.ts';

/** How an operation ended, in a line, what it moved, and where to look next. */
export function renderResult(result: OperationResult, style: Style): string {
  const { outcome, summary, cluster, operation, tookMs, moved, backup } = result;
  if (outcome === 'unchanged')
    return operation === 'deprovision'
      ? 'There is nothing to remove.'
      : `${style.good('✔')} ${summary}: nothing to do\n  next: holdfast status ${cluster}`;
  if (outcome === 'planned')
    return `${style.accent('i')} ${summary} ${style.dim(`${plural(result.plan.steps.length, 'step')}, none of them done`)}`;
  const next =
    operation === 'deprovision'
      ? 'holdfast list'
      : operation === 'rotate' || operation === 'hold'
        ? `holdfast backup list ${cluster}`
        : operation === 'rotateKeys'
          ? 'holdfast keys list'
          : backup === undefined
            ? `holdfast status ${cluster}`
            : `holdfast backup show ${cluster} ${backup.id}`;
  const lines = [`${style.good('✔')} ${summary} ${style.dim(`(${formatDuration(tookMs)})`)}`];
  if (moved !== undefined) lines.push(...reportLines(moved, style));
  if (backup !== undefined) lines.push(...backupLines(backup, style));
  return [...lines, `  next: ${next}`].join('\n');
}

/** What a move of slots did, what clients felt of it, and whether everything that was written is there. */
function reportLines(moved: MoveReport, style: Style): readonly string[] {
  const { slots, slotsTotal, keys, bytes, tookMs, keysPerSecond, strategy, latency, ledger, heldMs } = moved;
  const title = (text: string) => style.dim(text.padEnd(7));
  const of = slots < slotsTotal ? ` of ${formatCount(slotsTotal)}` : '';
  const amount = `${formatCount(slots)}${of} slots, ${formatCount(keys)} keys, ${formatBytes(bytes)}`;
  const { p50, p99, p999 } = latency;
  const tails = `p50 ${formatLatency(p50)}, p99 ${formatLatency(p99)}, p99.9 ${formatLatency(p999)}`;
  return [
    `  ${title('moved')} ${amount} in ${formatDuration(tookMs)}: ${formatCount(keysPerSecond)} keys/s, ${strategy}`,
    ...(latency.samples === 0 ? [] : [`  ${title('probe')} ${tails}`]),
    ...(heldMs > 0 ? [`  ${title('held')} ${formatDuration(heldMs)}, since the probe waited longer than stallMs`] : []),
    `  ${title('ledger')} ${ledgerText(ledger, style)}`,
  ];
}

function ledgerText({ acknowledged, lost, evicted }: LedgerSummary, style: Style): string {
  const written = `${formatCount(acknowledged)} ${acknowledged === 1 ? 'write' : 'writes'} acknowledged`;
  if (lost > 0) return style.bad(`${written}, ${formatCount(lost)} of them lost`);
  return evicted > 0 ? `${written}, none lost; the server evicted ${formatCount(evicted)}` : `${written}, ${style.good('all there')}`;
}
