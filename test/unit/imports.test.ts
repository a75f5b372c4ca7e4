import { globSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { expect, test } from 'vitest';

/** What a file imports when it runs: Node's own type stripping leaves no `import type` behind. */
const importsAtRuntime = (source: string): readonly string[] =>
  [...stripTypeScriptTypes(source).matchAll(/^(?:import|export)\s(?:[^'"]*\sfrom\s)?['"]([^'"]+)['"]/gm)].map((match) => match[1] ?? '');

test('workflows take nothing but types from activities', () => {
  const files = globSync('workflows/**/*.ts');
  expect(files.length).toBeGreaterThan(8);
  const offenders = files.filter((file) => importsAtRuntime(readFileSync(file, 'utf8')).some((name) => name.includes('/activities/')));
  expect(offenders).toEqual([]);
});

test('an import of activity code would be seen', () => {
  const source = "import type { A } from '../activities/a.ts';\nimport { b, type C } from '../activities/b.ts';\n";
  expect(importsAtRuntime(source)).toEqual(['../activities/b.ts']);
});
