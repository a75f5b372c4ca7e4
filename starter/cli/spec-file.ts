import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { type Document, LineCounter, parse, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { type ClusterSpec, type ClusterSpecInput, clusterSpec } from '../../config/cluster-spec.ts';
import { CliError } from './explain-error.ts';
import type { FieldText } from './option-values.ts';

export interface LoadedSpec {
  /** As it was written: this is what an operation gets, so that its history shows what a person asked for. */
  readonly input: ClusterSpecInput;
  /** With every default filled in. */
  readonly spec: ClusterSpec;
}

/** Reads and checks a spec in YAML or JSON; `-` is standard input. @throws CliError with a line number for each thing that is wrong. */
export async function loadSpec(file: string): Promise<LoadedSpec> {
  return parseSpec(await readSpecFile(file), file === '-' ? 'standard input' : file);
}

async function readSpecFile(file: string): Promise<string> {
  try {
    return file === '-' ? await text(process.stdin) : await readFile(file, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    const why =
      code === 'ENOENT'
        ? 'there is no such file'
        : code === 'EISDIR'
          ? 'it is a folder'
          : code === 'EACCES'
            ? 'it may not be read'
            : String(error);
    throw new CliError(`Cannot read ${file}: ${why}.`);
  }
}

/** Reads fields of a spec, which need not be a whole one. @throws CliError */
export async function loadFields(file: string): Promise<Readonly<Record<string, unknown>>> {
  const { document } = oneDocument(await readSpecFile(file), file === '-' ? 'standard input' : file);
  const fields = plainData(document, file);
  if (typeof fields === 'object' && fields !== null && !Array.isArray(fields)) return { ...fields };
  throw new CliError(`${file} must hold fields of a spec, such as resources: {memory: 1Gi}.`);
}

type Fields = Readonly<Record<string, unknown>>;

/** Fields of a spec with others put into them, each by its path. */
export function withFields(fields: Fields, texts: readonly FieldText[]): Fields {
  const put = (into: Fields, [name = '', ...rest]: readonly string[], value: unknown): Fields => {
    const inner = into[name];
    const under = typeof inner === 'object' && inner !== null ? { ...inner } : {};
    return { ...into, [name]: rest.length === 0 ? value : put(under, rest, value) };
  };
  return texts.reduce((all, { path, value }) => put(all, path, parse(value)), fields);
}

function oneDocument(source: string, file: string): { readonly document: Document; readonly lines: LineCounter } {
  const lines = new LineCounter();
  const documents = parseAllDocuments(source, { lineCounter: lines, prettyErrors: true });
  const document = documents[0];
  if (!Array.isArray(documents) || document === undefined || (documents.length === 1 && document.contents === null))
    throw new CliError(`${file} is empty. Start from examples/demo.yaml, or see: holdfast schema cluster-spec`);
  const broken = documents.flatMap((d) => d.errors)[0];
  if (broken !== undefined) {
    const { line, col } = broken.linePos?.[0] ?? { line: 1, col: 1 };
    throw new CliError(`${file}:${line}:${col}: not valid YAML: ${broken.message.split(/ at line |\n/, 1)[0]}`);
  }
  if (documents.length > 1) throw new CliError(`${file} holds ${documents.length} documents. Give each cluster a file of its own.`);
  return { document, lines };
}

export function parseSpec(source: string, file: string): LoadedSpec {
  const { document, lines } = oneDocument(source, file);
  const input = plainData(document, file);
  const parsed = clusterSpec.safeParse(input);
  if (parsed.success) return { input: input as ClusterSpecInput, spec: parsed.data };
  const problems = parsed.error.issues
    .map((issue) => ({ line: lineOf(document, issue, lines), text: describeIssue(issue, input) }))
    .sort((a, b) => a.line - b.line)
    .map(({ line, text }) => `${file}:${line}: ${text}`);
  throw new CliError(`This spec cannot be used; nothing was started.\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
}

function plainData(document: Document, file: string): unknown {
  try {
    return document.toJS();
  } catch (error) {
    // An alias without an anchor, or aliases that would fill the memory.
    throw new CliError(`${file}: not valid YAML: ${error instanceof Error ? error.message : error}`);
  }
}

function describeIssue(issue: z.core.$ZodIssue, input: unknown): string {
  const path = issue.path.map(String);
  const where = path.length === 0 ? 'the spec' : path.join('.').replace(/\.(\d+)(?=\.|$)/g, '[$1]');
  const extra = hint(issue, at(input, issue.path));
  return `${where}: ${issue.message}${extra === '' ? '' : ` (${extra})`}`;
}

const at = (value: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>((v, key) => (typeof v === 'object' && v !== null ? Reflect.get(v, key) : undefined), value);

/** What a person most likely meant. */
function hint(issue: z.core.$ZodIssue, value: unknown): string {
  if (issue.code === 'invalid_type' && issue.expected === 'string' && typeof value === 'number') return `put it in quotes: "${value}"`;
  if (issue.code === 'unrecognized_keys') {
    const known = knownFields(issue.path);
    return known.length === 0 ? '' : `known: ${known.join(', ')}`;
  }
  return '';
}

/** Names of the fields at a place of the spec, out of its JSON Schema. */
function knownFields(path: readonly PropertyKey[]): readonly string[] {
  let schema: unknown = z.toJSONSchema(clusterSpec, { io: 'input' });
  for (const key of path) schema = typeof key === 'number' ? at(schema, ['items']) : at(schema, ['properties', key]);
  return Object.keys(at(schema, ['properties']) ?? {});
}

/** The line of the place that an issue is about, or of the nearest thing around it that is there. */
function lineOf(document: Document, issue: z.core.$ZodIssue, lines: LineCounter): number {
  const path: PropertyKey[] = issue.code === 'unrecognized_keys' ? [...issue.path, ...issue.keys.slice(0, 1)] : [...issue.path];
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true);
    const range = typeof node === 'object' && node !== null && 'range' in node ? node.range : undefined;
    if (Array.isArray(range) && typeof range[0] === 'number') return lines.linePos(range[0]).line;
  }
  return 1;
}
