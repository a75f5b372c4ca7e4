import { z } from 'zod';
import { engineCatalogue } from '../config/engines.ts';
import { allowedServerParameters, ownedServerParameters } from '../config/server-parameters.ts';
import { readSettings, SECRET_PREFIX, settingsSchema } from '../config/settings.ts';

/** The parts of JSON Schema that our schemas use. */
interface Schema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly minimum?: number;
  readonly maximum?: number;
}

const GENERATED = '<!-- Generated from config/ by `npm run generate`. Do not edit. -->';
const code = (text: string) => `\`${text.replaceAll('|', '\\|')}\``;
const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

const row = (...cells: readonly string[]) => `| ${cells.join(' | ')} |`;
const table = (headings: readonly string[], rows: readonly string[]) =>
  [row(...headings), row(...headings.map(() => '---')), ...rows].join('\n');

function typeOf(schema: Schema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => code(String(value))).join(', ');
  const type = Array.isArray(schema.type) ? schema.type.join(' or ') : String(schema.type ?? 'any');
  if (schema.type === 'array') return `list of ${schema.items?.type === 'object' ? 'objects' : `${typeOf(schema.items ?? {})}s`}`;
  if (schema.type === 'object') return 'object';
  const { minimum, maximum } = schema;
  const range =
    minimum !== undefined && maximum !== undefined ? ` ${minimum} to ${maximum}` : minimum !== undefined ? ` from ${minimum}` : '';
  return `${type === 'integer' ? 'whole number' : type}${range}`;
}

/** Every field, an object's own fields below it, with the path that a person writes. */
function fieldRows(schema: Schema, prefix: string): readonly string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const path = `${prefix}${name}`;
    const listed = field.type === 'array' && field.items?.type === 'object';
    const inner = path === 'config' ? [] : listed ? fieldRows(field.items ?? {}, `${path}[].`) : fieldRows(field, `${path}.`);
    const required = schema.required?.includes(name) === true;
    const value = required
      ? '**required**'
      : field.default === undefined || (inner.length > 0 && !listed)
        ? ''
        : code(JSON.stringify(field.default));
    return [row(code(path), typeOf(field), value, cell(field.description ?? '')), ...inner];
  });
}

/** docs/spec.md */
export function specReference(schema: Schema): string {
  const versions = [...new Set(engineCatalogue.map((e) => e.engine))].map((engine) => {
    const known = engineCatalogue.filter((e) => e.engine === engine).map((e) => `${code(e.version)} (image ${code(e.image)})`);
    return `- ${engine}: ${known.join(', ')}`;
  });
  const allowed = Object.entries(allowedServerParameters).map(([name, { looks }]) => row(code(name), cell(looks)));
  const owned = Object.entries(ownedServerParameters).map(([name, reason]) => row(code(name), cell(reason)));
  return `${GENERATED}

# Cluster spec

What a cluster shall be, in YAML or JSON. \`holdfast plan -f spec.yaml\` shows what it would change, \`holdfast apply -f spec.yaml\` does it. Only three
fields are required; what is left out gets a safe default. Fields that do not exist are refused, so that a typo cannot pass.

Editors complete and check a spec that begins with this line:

\`\`\`yaml
# yaml-language-server: $schema=../schemas/cluster-spec.schema.json
\`\`\`

\`holdfast schema\` prints the same schema. Examples: [demo](../examples/demo.yaml), [sentinel](../examples/sentinel.yaml), [production](../examples/production.yaml).

## Fields

${table(['Field', 'Type', 'Default', 'Description'], fieldRows(schema, ''))}

A size is a number with \`Ki\`, \`Mi\`, \`Gi\`, \`K\`, \`M\` or \`G\`; a node needs at least \`64Mi\`.

## Versions

${versions.join('\n')}

Others are refused: these are the ones that the tests run.

## Server parameters

\`config\` takes the parameters below. All of them can be changed while the cluster serves. Numbers may be written as numbers.

${table(['Parameter', 'Value'], allowed)}

These are refused, each for a reason:

${table(['Parameter', 'Why'], owned)}

Any other parameter is refused until it has been tried.
`;
}

/** docs/settings.md */
export function settingsReference(): string {
  const { properties = {} } = z.toJSONSchema(settingsSchema, { io: 'input', unrepresentable: 'any' }) as unknown as {
    properties?: Record<string, Schema>;
  };
  const defaults: Readonly<Record<string, unknown>> = readSettings({});
  const rows = Object.entries(properties).map(([name, setting]) => {
    const choices = setting.enum === undefined ? '' : ` One of ${setting.enum.map((value) => code(String(value))).join(', ')}.`;
    const value = defaults[name] === undefined ? '' : code(String(defaults[name]));
    return row(code(name), value, cell(`${setting.description ?? ''}${choices}`));
  });
  return `${GENERATED}

# Settings

A Holdfast process takes its settings from its environment. The \`holdfast\` command also reads \`$HOLDFAST_HOME/settings.env\` (default
\`~/.cache/holdfast/settings.env\`), which the quickstart writes; variables that are set already win. An unknown variable that begins with
\`HOLDFAST_\` is refused, so that a typo cannot fall back to a default. \`holdfast doctor\` checks what they lead to.

${table(['Variable', 'Default', 'Meaning'], rows)}

Besides these:

- \`${SECRET_PREFIX}<NAME>\`: a secret that a spec refers to as \`env:<NAME>\`. Only the worker needs it.
- \`HOLDFAST_HOME\`: where bootstrap and quickstart keep what they make.
- \`NO_COLOR\`: any value switches colours off; \`FORCE_COLOR\` switches them on where there is no terminal.
`;
}
