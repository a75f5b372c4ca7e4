import { Option } from 'commander';
import { stringify } from 'yaml';

export type OutputFormat = 'table' | 'json' | 'yaml' | 'wide';

/** `-o` of every command that reads. */
export const outputOption = () =>
  new Option('-o, --output <format>', 'how to print it').choices(['table', 'json', 'yaml', 'wide']).default('table');

/** The data itself for programs, or what `table` makes of it for people. */
export function renderOutput(format: OutputFormat, data: unknown, table: (wide: boolean) => string): string {
  switch (format) {
    case 'json':
      return JSON.stringify(data, undefined, 2);
    case 'yaml':
      return stringify(data, { lineWidth: 0 }).trimEnd();
    default:
      return table(format === 'wide');
  }
}
