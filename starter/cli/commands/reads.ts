import { setTimeout as sleep } from 'node:timers/promises';
import { createLogUpdate } from 'log-update';
import { stringify } from 'yaml';
import type { StatusReport } from '../../../config/status.ts';
import type { Holdfast } from '../../client/index.ts';
import { type ExitCode, exitCodes } from '../exit-codes.ts';
import { CliError, explainError } from '../explain-error.ts';
import { type OutputFormat, renderOutput } from '../output.ts';
import type { Session } from '../session.ts';
import type { Style } from '../terminal.ts';
import { renderJournal } from '../view/journal-view.ts';
import { renderClusters } from '../view/lists-view.ts';
import { renderStatus, verdictPaint } from '../view/status-view.ts';
import { renderTable } from '../view/table.ts';
import { formatTime } from '../view/units.ts';
import { waiting } from '../waiting.ts';

interface ReadOptions {
  readonly output: OutputFormat;
}

export interface StatusOptions extends ReadOptions {
  readonly watch?: boolean;
  readonly interval: number;
}

/** A cluster that could not be asked, in a report about all of them. */
interface Unreachable {
  readonly cluster: string;
  readonly verdict: 'unreachable';
  readonly headline: string;
}

type Answer = StatusReport | Unreachable;

export function statusExitCode(answers: readonly Pick<Answer, 'verdict'>[]): ExitCode {
  if (answers.length === 1 && answers[0]?.verdict === 'absent') return exitCodes.notFound;
  const bad = answers.filter((answer) => answer.verdict !== 'healthy');
  if (bad.length === 0) return exitCodes.ok;
  return bad.every((answer) => answer.verdict === 'unreachable') ? exitCodes.unreachable : exitCodes.unhealthy;
}

/** Verdicts of several clusters; one alone is shown whole. */
export function renderAnswers(answers: readonly Answer[], format: OutputFormat, style: Style): string {
  const [first] = answers;
  if (first !== undefined && first.verdict !== 'unreachable' && answers.length === 1)
    return renderOutput(format, first, (wide) => renderStatus(first, wide, style));
  return renderOutput(format, answers, () => {
    if (answers.length === 0) return renderClusters([], false, style);
    const rows = answers.map((answer) =>
      answer.verdict === 'unreachable'
        ? [answer.cluster, style.bad(answer.verdict), '-', answer.headline]
        : [answer.cluster, verdictPaint(answer.verdict, style)(answer.verdict), answer.running?.operation ?? '-', answer.headline],
    );
    return renderTable(['CLUSTER', 'VERDICT', 'RUNNING', 'HEADLINE'], rows, style);
  });
}

async function ask(session: Session, cluster: string | undefined): Promise<readonly Answer[]> {
  const holdfast = await session.holdfast();
  return cluster === undefined ? askAll(holdfast) : [await holdfast.status(cluster)];
}

/** Every cluster; one that cannot be asked is told as such, and keeps no other from being shown. */
export async function askAll(holdfast: Pick<Holdfast, 'list' | 'status'>): Promise<readonly Answer[]> {
  const clusters = await holdfast.list();
  const answers = await Promise.allSettled(
    clusters.map(async ({ cluster, state }): Promise<Answer> => {
      const headline = 'no worker of its host answers; start one there: holdfast worker';
      return state === 'unreachable' ? { cluster, verdict: 'unreachable', headline } : holdfast.status(cluster);
    }),
  );
  return clusters.map(({ cluster }, index): Answer => {
    const answer = answers[index];
    if (answer?.status === 'fulfilled') return answer.value;
    const [headline = ''] = explainError(answer?.reason, false).split('\n', 1);
    return { cluster, verdict: 'unreachable', headline };
  });
}

/** `holdfast status [cluster]`; with `--watch` it ends with the code of the last look, for Ctrl-C is how it is meant to end. */
export async function status(session: Session, cluster: string | undefined, options: StatusOptions): Promise<ExitCode> {
  const { terminal } = session;
  if (options.watch !== true) {
    const reports = await waiting(terminal, 'asking every node', ask(session, cluster));
    terminal.print(renderAnswers(reports, options.output, terminal.style));
    return statusExitCode(reports);
  }
  const stop = new AbortController();
  process.on('SIGINT', () => stop.abort()); // not `once`: the library that restores the cursor would end the process
  const redraw = process.stdout.isTTY === true && options.output !== 'json' && options.output !== 'yaml';
  const screen = redraw ? createLogUpdate(process.stdout) : terminal.print;
  let reports: readonly Answer[] | undefined;
  while (!stop.signal.aborted) {
    const next = await Promise.race([ask(session, cluster), aborted(stop.signal)]);
    if (next === undefined) break;
    reports = next;
    const text = renderAnswers(reports, options.output, terminal.style);
    screen(
      redraw
        ? `${text}\n\n${terminal.style.dim(`${formatTime(new Date().toISOString())}, every ${options.interval} s, Ctrl-C ends`)}`
        : text,
    );
    await sleep(options.interval * 1000, undefined, { signal: stop.signal }).catch(() => undefined); // woken by Ctrl-C
  }
  return reports === undefined ? exitCodes.interrupted : statusExitCode(reports);
}

const aborted = (signal: AbortSignal) =>
  new Promise<undefined>((resolve) => {
    if (signal.aborted) resolve(undefined);
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });

/** `holdfast list` */
export async function list(session: Session, { output }: ReadOptions): Promise<ExitCode> {
  const clusters = await waiting(session.terminal, 'looking for clusters', (await session.holdfast()).list());
  session.terminal.print(renderOutput(output, clusters, (wide) => renderClusters(clusters, wide, session.terminal.style)));
  return exitCodes.ok;
}

/** `holdfast describe <cluster>`: the spec that holds, and what led to it. */
export async function describe(session: Session, cluster: string, { output }: ReadOptions): Promise<ExitCode> {
  const holdfast = await session.holdfast();
  const [kept, journal] = await Promise.all([holdfast.describe(cluster), holdfast.journal(cluster)]);
  const { style } = session.terminal;
  session.terminal.print(
    renderOutput(output, { ...kept, journal }, (wide) => {
      const head = `${style.strong(kept.cluster)}  generation ${kept.generation}, accepted ${formatTime(kept.acceptedAt)}`;
      const spec = stringify(kept.spec, { lineWidth: 0 }).trimEnd();
      return [head, '', indent(spec), '', renderJournal(wide ? journal : journal.slice(-10), wide, style)].join('\n');
    }),
  );
  return exitCodes.ok;
}

const indent = (text: string) => text.replace(/^/gm, '  ');

/** `holdfast events <cluster>`: the journal, newest first. */
export async function events(session: Session, cluster: string, { output, limit }: ReadOptions & { limit: number }): Promise<ExitCode> {
  const journal = (await (await session.holdfast()).journal(cluster)).slice(-limit);
  session.terminal.print(renderOutput(output, journal, (wide) => renderJournal(journal, wide, session.terminal.style)));
  return exitCodes.ok;
}

/** @throws CliError when there is nothing of this name. */
export async function requireCluster(session: Session, cluster: string): Promise<StatusReport> {
  const report = await waiting(session.terminal, `looking at ${cluster}`, (await session.holdfast()).status(cluster));
  if (report.verdict === 'absent') throw new CliError(`There is no cluster "${cluster}". See: holdfast list`, exitCodes.notFound);
  return report;
}
