import type { Check } from '../../../workers/checkup.ts';
import type { Style } from '../terminal.ts';
import { plural } from './units.ts';

export function renderChecks(checks: readonly Check[], style: Style): string {
  const width = Math.max(0, ...checks.map((check) => check.name.length));
  const mark = { ok: style.good('✔'), warning: style.warn('!'), failed: style.bad('✖') };
  const lines = checks.flatMap((check) => [
    `${mark[check.state]} ${check.name.padEnd(width)}  ${check.found}`,
    ...(check.next === undefined ? [] : [`  ${''.padEnd(width)}  next: ${check.next}`]),
  ]);
  const failed = checks.filter((check) => check.state === 'failed').length;
  const warnings = checks.filter((check) => check.state === 'warning').length;
  const verdict =
    failed > 0
      ? style.bad(`${plural(failed, 'check')} failed.`)
      : warnings > 0
        ? style.warn(`Holdfast can work, with ${plural(warnings, 'warning')}.`)
        : style.good('All is well.');
  return [...lines, '', verdict].join('\n');
}
