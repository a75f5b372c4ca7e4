import type { Command } from 'commander';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

interface Word {
  readonly word: string;
  readonly help: string;
}

interface OptionWord extends Word {
  readonly takesValue: boolean;
  /** The values that it may have, where they are known; else files are offered. */
  readonly values: readonly string[] | undefined;
}

/** A command, by all the words that lead to it, and what may stand after it. */
interface Level {
  readonly path: string;
  readonly next: readonly Word[];
  readonly options: readonly OptionWord[];
}

function levels(command: Command, path: string): readonly Level[] {
  const options = command.options.flatMap((option) =>
    [option.short, option.long].flatMap((word) =>
      word === undefined || word === null
        ? []
        : [{ word, help: option.description, takesValue: option.required || option.optional, values: option.argChoices }],
    ),
  );
  const children = command
    .createHelp()
    .visibleCommands(command)
    .filter((child) => child.name() !== 'help');
  const next = [
    ...children.map((child) => ({ word: child.name(), help: child.description() })),
    ...command.registeredArguments.flatMap((argument) => argument.argChoices ?? []).map((word) => ({ word, help: '' })),
  ];
  const help: OptionWord = { word: '--help', help: 'how to use it', takesValue: false, values: undefined };
  return [{ path, next, options: [...options, help] }, ...children.flatMap((child) => levels(child, `${path} ${child.name()}`))];
}

/** A script that completes commands, options and their values, made from the tree of commands. */
export function completionScript(program: Command, shell: Shell): string {
  const all = levels(program, program.name());
  return { bash, zsh, fish }[shell](all);
}

const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
const join = (list: readonly Word[]) => list.map(({ word }) => word).join(' ');

/** `path` becomes the deepest command among the words typed so far. */
const walk = (all: readonly Level[], words: string) => `  path=holdfast
  for word in ${words}; do
    case "$path $word" in ${all.map(({ path }) => quote(path)).join('|')}) path="$path $word" ;; esac
  done`;

/** A `case` over what may follow an option. */
const values = (all: readonly Level[], offer: (list: readonly string[]) => string, files: string) =>
  all
    .flatMap(({ path, options }) =>
      options
        .filter((o) => o.takesValue)
        .map((o) => `    ${quote(`${path} ${o.word}`)}) ${o.values === undefined ? files : offer(o.values)}; return ;;`),
    )
    .join('\n');

const bash = (all: readonly Level[]) => `# bash completion of holdfast. Load it with: source <(holdfast completion bash)
_holdfast() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" path word words
${walk(all, `"\${COMP_WORDS[@]:1:COMP_CWORD-1}"`)}
  case "$path $prev" in
${values(all, (list) => `COMPREPLY=($(compgen -W ${quote(list.join(' '))} -- "$cur"))`, 'COMPREPLY=($(compgen -f -- "$cur"))')}
  esac
  case "$path" in
${all.map(({ path, next, options }) => `    ${quote(path)}) words=${quote(join(next))}; [[ $cur == -* ]] && words=${quote(join(options))} ;;`).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _holdfast holdfast
`;

const zshEntries = (list: readonly Word[]) => list.map(({ word, help }) => quote(`${word.replaceAll(':', '\\:')}:${help}`)).join(' ');

const zsh = (all: readonly Level[]) => `#compdef holdfast
# zsh completion of holdfast. Load it with: source <(holdfast completion zsh)
_holdfast() {
  local path word cur="\${words[CURRENT]}" prev="\${words[CURRENT-1]}"
  local -a entries
${walk(all, `"\${(@)words[2,CURRENT-1]}"`)}
  case "$path $prev" in
${values(all, (list) => `compadd -- ${list.map(quote).join(' ')}`, '_files')}
  esac
  case "$path" in
${all.map(({ path, next, options }) => `    ${quote(path)}) entries=(${zshEntries(next)}); [[ $cur == -* ]] && entries=(${zshEntries(options)}) ;;`).join('\n')}
  esac
  _describe 'holdfast' entries
}
if [[ \${funcstack[1]} == _holdfast ]]; then _holdfast "$@"; else compdef _holdfast holdfast; fi
`;

function fishLines({ path, next, options }: Level): readonly string[] {
  const here = `-n ${quote(`test (__holdfast_path) = "${path}"`)}`;
  return [
    ...next.map(({ word, help }) => `complete -c holdfast -f ${here} -a ${quote(word)} -d ${quote(help)}`),
    ...options.map(({ word, help, takesValue, values: known }) => {
      const name = word.startsWith('--') ? `-l ${word.slice(2)}` : `-s ${word.slice(1)}`;
      const value = !takesValue ? '-f' : known === undefined ? '-r' : `-x -a ${quote(known.join(' '))}`;
      return `complete -c holdfast ${here} ${name} ${value} -d ${quote(help)}`;
    }),
  ];
}

const fish = (all: readonly Level[]) => `# fish completion of holdfast. Load it with: holdfast completion fish | source
function __holdfast_path
  set -l path holdfast
  for word in (commandline -opc)[2..]
    if contains -- "$path $word" ${all.map(({ path }) => quote(path)).join(' ')}
      set path "$path $word"
    end
  end
  echo $path
end
${all.flatMap(fishLines).join('\n')}
`;
