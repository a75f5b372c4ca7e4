import { styleText } from 'node:util';

type Paint = (text: string) => string;

/** Meaning, not colour: what is printed is told apart in one place, and stays readable without colours. */
export interface Style {
  readonly good: Paint;
  readonly warn: Paint;
  readonly bad: Paint;
  readonly dim: Paint;
  readonly strong: Paint;
  readonly accent: Paint;
}

export function createStyle(colours: boolean): Style {
  const paint =
    (format: Parameters<typeof styleText>[0]): Paint =>
    (text) =>
      colours ? styleText(format, text, { validateStream: false }) : text;
  return {
    good: paint('green'),
    warn: paint('yellow'),
    bad: paint('red'),
    dim: paint('dim'),
    strong: paint('bold'),
    accent: paint('cyan'),
  };
}

export interface Terminal {
  /** Answers: what a script may read. */
  print(text: string): void;
  /** Everything else: progress, questions, warnings. */
  note(text: string): void;
  readonly style: Style;
  /** Style of what goes to `note`. */
  readonly noteStyle: Style;
  /** Somebody sits there and can answer. */
  readonly interactive: boolean;
  /** `note` goes to a screen that can be redrawn. */
  readonly live: boolean;
  /** Of what `print` goes to; without end where that is no screen. */
  readonly columns: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Colours only on a terminal. https://no-color.org: any value that is not empty switches them off; FORCE_COLOR switches them on. */
export function wantsColours(stream: { readonly isTTY?: boolean }, environment: Environment): boolean {
  if (environment.NO_COLOR !== undefined && environment.NO_COLOR !== '') return false;
  if (environment.FORCE_COLOR !== undefined && environment.FORCE_COLOR !== '') return environment.FORCE_COLOR !== '0';
  return stream.isTTY === true && environment.TERM !== 'dumb';
}

export function createTerminal(process: NodeJS.Process): Terminal {
  const { stdin, stdout, stderr, env } = process;
  return {
    print: (text) => void stdout.write(`${text}\n`),
    note: (text) => void stderr.write(`${text}\n`),
    style: createStyle(wantsColours(stdout, env)),
    noteStyle: createStyle(wantsColours(stderr, env)),
    interactive: stdin.isTTY === true && stderr.isTTY === true,
    live: stderr.isTTY === true && env.TERM !== 'dumb',
    columns: stdout.columns ?? Number.POSITIVE_INFINITY,
  };
}
