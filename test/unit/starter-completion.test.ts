import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { completionScript, shells } from '../../starter/cli/completion-scripts.ts';
import { buildProgram } from '../../starter/cli/program.ts';

const program = buildProgram('0.0.0', () => undefined);
const bash = completionScript(program, 'bash');

/** What bash offers after the words, of which the last is being typed. */
function complete(...words: readonly string[]): readonly string[] {
  const line = `COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _holdfast; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync('bash', ['--norc', '-c', `${bash}\n${line}`], { encoding: 'utf8' })
    .split('\n')
    .filter((word) => word !== '');
}

test('bash completes commands and their commands', () => {
  expect(complete('holdfast', 'st')).toEqual(['status']);
  expect(complete('holdfast', 're')).toEqual(['rebalance', 'repair', 'restore', 'recovery-window']);
  expect(complete('holdfast', 'operations', '')).toEqual(['list', 'show', 'pause', 'resume', 'limits', 'cancel', 'approve', 'reject']);
});

test('bash completes the options of the command that they belong to', () => {
  expect(complete('holdfast', 'status', '--')).toEqual(expect.arrayContaining(['--watch', '--output']));
  expect(complete('holdfast', 'list', '--')).not.toContain('--watch');
  expect(complete('holdfast', 'operations', 'limits', '--p')).toEqual(['--probe-p99-ms', '--pairs']);
});

test('bash completes the values of options and arguments', () => {
  expect(complete('holdfast', 'status', 'demo', '-o', '')).toEqual(['table', 'json', 'yaml', 'wide']);
  expect(complete('holdfast', 'apply', '--when-busy', 'w')).toEqual(['wait']);
  expect(complete('holdfast', 'rebalance', 'demo', '--by', '')).toEqual(['slots', 'keys', 'memory']);
  expect(complete('holdfast', 'scale', '--strategy', 'na')).toEqual(['native']);
  expect(complete('holdfast', 'schema', 'prov')).toEqual(['provision.input']);
});

test.each(shells)('the script for %s knows every command', (shell) => {
  const script = completionScript(program, shell);
  for (const command of program.commands) expect(script).toContain(command.name());
});
