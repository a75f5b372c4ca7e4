import { readdirSync, readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { clusterSpec } from '../../config/cluster-spec.ts';
import { operationInputs, operationNames } from '../../config/operations.ts';
import { generatedFiles, staleFiles } from '../../scripts/generate.ts';
import { inputSchema, schemaNames } from '../../starter/schemas.ts';

const compile = (name: string) =>
  new Ajv2020({ strict: true, allowUnionTypes: true, strictRequired: false, strictTypes: false, formats: { 'date-time': true } }).compile(
    inputSchema(name),
  );
const examples = readdirSync('examples').filter((file) => file.endsWith('.yaml'));
const load = (file: string): unknown => parse(readFileSync(`examples/${file}`, 'utf8'));

test('what is generated from config/ is fresh', () => {
  expect(staleFiles()).toEqual([]);
});

test('a stale file is named', () => {
  const files = new Map(generatedFiles());
  files.set('docs/spec.md', 'something else');
  expect(staleFiles(files)).toEqual(['docs/spec.md']);
});

test.each(schemaNames)('the schema %s is valid JSON Schema of draft 2020-12', (name) => {
  expect(inputSchema(name).$schema).toBe('https://json-schema.org/draft/2020-12/schema');
  compile(name);
});

test('every operation has a schema of its input', () => {
  expect(schemaNames).toEqual(expect.arrayContaining(operationNames.map((name) => `${name}.input`)));
});

test('every field of the spec and of every input is described', () => {
  const undescribed: string[] = [];
  const walk = (schema: unknown, path: string): void => {
    if (typeof schema !== 'object' || schema === null) return;
    const { properties, items } = schema as { properties?: Record<string, { description?: string }>; items?: unknown };
    for (const [name, field] of Object.entries(properties ?? {})) {
      if (field.description === undefined && name !== 'spec') undescribed.push(`${path}.${name}`);
      walk(field, `${path}.${name}`);
    }
    walk(items, `${path}[]`);
  };
  for (const name of schemaNames) walk(inputSchema(name), name);
  expect(undescribed).toEqual([]);
});

describe.each(examples)('examples/%s', (file) => {
  test('is a spec that Holdfast takes', () => {
    expect(clusterSpec.safeParse(load(file)).error).toBeUndefined();
  });

  test('passes the schema that editors use, and names it', () => {
    const validate = compile('cluster-spec');
    validate(load(file));
    expect(validate.errors).toBeNull();
    expect(readFileSync(`examples/${file}`, 'utf8')).toMatch(
      /^# yaml-language-server: \$schema=\.\.\/schemas\/cluster-spec\.schema\.json\n/,
    );
  });

  test('is an input of provision, for the schema and for Holdfast', () => {
    const input = { spec: load(file), dryRun: true };
    expect(compile('provision.input')(input)).toBe(true);
    expect(operationInputs.provision.safeParse(input).success).toBe(true);
  });
});

test('production.yaml shows every field of the spec but those of sentinel mode', () => {
  const shown = Object.keys(load('production.yaml') as object);
  const { properties } = inputSchema('cluster-spec') as { properties: object };
  expect(Object.keys(properties).filter((field) => !shown.includes(field))).toEqual(['sentinels']);
});

test.each([
  ['a field that does not exist', { shrads: 3 }],
  ['a version of another engine', { version: '8.0' }],
  ['a version that is a number', { version: 9.1 }],
  ['a server parameter that Holdfast owns', { config: { requirepass: 'x' } }],
  ['a size without sense', { resources: { memory: 'much' } }],
])('the schema refuses %s, as Holdfast does', (_, wrong) => {
  const spec = { name: 'demo', engine: 'valkey', version: '9.1', ...wrong };
  expect(compile('cluster-spec')(spec)).toBe(false);
  expect(clusterSpec.safeParse(spec).success).toBe(false);
});
