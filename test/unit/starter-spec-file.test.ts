import { describe, expect, test } from 'vitest';
import { CliError } from '../../starter/cli/explain-error.ts';
import { parseSpec } from '../../starter/cli/spec-file.ts';

const good = 'name: demo\nengine: valkey\nversion: "9.1"\n';
const problem = (source: string): string => {
  try {
    parseSpec(source, 'spec.yaml');
  } catch (error) {
    if (error instanceof CliError) return error.message;
    throw error;
  }
  return 'no problem';
};

describe('a spec file', () => {
  test('may be YAML or JSON, and keeps what a person wrote beside the defaults', () => {
    const fromYaml = parseSpec(good, 'spec.yaml');
    expect(fromYaml.input).toEqual({ name: 'demo', engine: 'valkey', version: '9.1' });
    expect(fromYaml.spec).toMatchObject({ shards: 3, deletionProtection: true });
    expect(parseSpec(JSON.stringify(fromYaml.input), 'spec.json')).toEqual(fromYaml);
  });

  test('with broken YAML is refused with line and column', () => {
    expect(problem('name: demo\n  engine: valkey\n')).toMatch(/^spec\.yaml:1:7: not valid YAML: /);
    expect(problem('name: [demo\n')).toMatch(/^spec\.yaml:\d+:\d+: not valid YAML: /);
    expect(problem(`${good}name: again\n`)).toMatch(/^spec\.yaml:4:\d+: not valid YAML: .*unique/i);
  });

  test('that is empty is refused with where to start', () => {
    expect(problem('')).toMatch(/is empty.*examples\/demo\.yaml/);
    expect(problem('# nothing\n')).toMatch(/is empty/);
  });

  test('with several documents is refused', () => {
    expect(problem(`${good}---\n${good}`)).toMatch(/holds 2 documents/);
  });

  test('that is no object is refused', () => {
    expect(problem('- a\n')).toMatch(/expected object/);
    expect(problem('hello\n')).toMatch(/expected object/);
  });

  test('tells each mistake with its line, in the order of the file', () => {
    const text = problem('name: demo\nengine: valky\nversion: 9.1\nshrads: 3\nresources:\n  memory: 1Mi\n');
    const lines = text.split('\n').slice(1);
    expect(lines.map((line) => /spec\.yaml:(\d+)/.exec(line)?.[1])).toEqual(['2', '3', '4', '6']);
  });

  test('tells what was most likely meant', () => {
    expect(problem('name: demo\nengine: valkey\nversion: 9.1\n')).toContain('put it in quotes: "9.1"');
    expect(problem(`${good}security: {tsl: true}\n`)).toMatch(/"tsl" \(known: tls, users\)/);
  });

  test('cannot blow up through aliases', () => {
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...['b', 'c', 'd', 'e', 'f', 'g'].map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdef'[i]}`)}]`),
    ];
    expect(problem(bomb.join('\n'))).toMatch(/alias/i);
  });
});
