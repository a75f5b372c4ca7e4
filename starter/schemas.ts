import { z } from 'zod';
import { clusterSpec } from '../config/cluster-spec.ts';
import { type Engine, engineCatalogue } from '../config/engines.ts';
import { operationInputs, operationNames } from '../config/operations.ts';
import { allowedServerParameters } from '../config/server-parameters.ts';

const described: Readonly<Record<string, { readonly schema: z.ZodType; readonly title: string; readonly description: string }>> = {
  'cluster-spec': {
    schema: clusterSpec,
    title: 'Holdfast cluster spec',
    description: 'What a Redis or Valkey cluster shall be. Apply it with: holdfast apply -f spec.yaml',
  },
  ...Object.fromEntries(
    operationNames.map((name) => [
      `${name}.input`,
      {
        schema: operationInputs[name],
        title: `Input of ${name}`,
        description: `The one argument of the workflow type "${name}", on the task queue "holdfast". Paste it into the Temporal UI, or start it from any language.`,
      },
    ]),
  ),
};

/** `cluster-spec` and `<operation>.input`. */
export const schemaNames: readonly string[] = Object.keys(described);

type Json = Record<string, unknown>;

/**
 * JSON Schema (draft 2020-12) of what a person writes, before defaults are filled in. Checks that need code, such as which versions exist for which
 * engine, are made by Holdfast itself.
 */
export function inputSchema(name: string): Json {
  const entry = described[name];
  if (entry === undefined) throw new Error(`no schema ${name}`);
  const { title, description, schema } = entry;
  const generated = z.toJSONSchema(schema, { io: 'input', override: ({ jsonSchema }) => tidy(jsonSchema) });
  const { $schema, ...rest } = generated;
  return { $schema, $id: `urn:holdfast:schema:${name}`, title, description, ...rest };
}

const versionsOf = (engine?: Engine) => engineCatalogue.filter((e) => engine === undefined || e.engine === engine).map((e) => e.version);
const versionRule = (engine: Engine) => ({
  if: { properties: { engine: { const: engine } }, required: ['engine'] },
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  then: { properties: { version: { enum: versionsOf(engine) } } },
});

/**
 * Bounds that only say "a safe integer" are noise in an editor. Versions and server parameters are checked by code; here they get their names, so
 * that an editor completes them.
 */
function tidy(schema: Json): void {
  if (schema.minimum === Number.MIN_SAFE_INTEGER) delete schema.minimum;
  if (schema.maximum === Number.MAX_SAFE_INTEGER) delete schema.maximum;
  if (schema.format === 'cidrv4') delete schema.format; // no format of the standard; the pattern beside it says the same
  const properties = schema.properties as Record<string, Json> | undefined;
  const { config, version, engine } = properties ?? {};
  if (config === undefined || version === undefined || engine === undefined) return;
  version.enum = [...new Set(versionsOf())];
  schema.allOf = [versionRule('redis'), versionRule('valkey')];
  delete config.propertyNames;
  config.additionalProperties = false;
  config.properties = Object.fromEntries(
    Object.entries(allowedServerParameters).map(([parameter, { looks }]) => [
      parameter,
      { description: looks, type: ['string', 'number'] },
    ]),
  );
}
