import { hostname, userInfo } from 'node:os';
import { readSettings, type Settings } from '../../config/settings.ts';
import { Holdfast } from '../client/index.ts';
import type { ExitCode } from './exit-codes.ts';
import { CliError } from './explain-error.ts';
import { createTerminal, type Terminal } from './terminal.ts';

/** Options that every command takes. */
export interface GlobalOptions {
  readonly address?: string;
  readonly namespace?: string;
  readonly debug?: boolean;
}

/** What a command works with. */
export interface Session extends AsyncDisposable {
  readonly terminal: Terminal;
  readonly settings: Settings;
  /** Who asks, for the journal: `user@host`. */
  readonly identity: string;
  /** Connects on first use. @throws TemporalUnreachable */
  holdfast(): Promise<Holdfast>;
  /** A link to an operation in the Temporal UI. */
  uiLink(workflowId: string): string;
}

/** Opens a session, runs a command in it, and closes it whatever happens. */
export type Run = (act: (session: Session) => Promise<ExitCode>) => Promise<void>;

export function openSession(options: GlobalOptions): Session {
  const read = readSettings(process.env);
  const settings: Settings = {
    ...read,
    HOLDFAST_TEMPORAL_ADDRESS: options.address ?? read.HOLDFAST_TEMPORAL_ADDRESS,
    HOLDFAST_TEMPORAL_NAMESPACE: options.namespace ?? read.HOLDFAST_TEMPORAL_NAMESPACE,
  };
  const { HOLDFAST_TEMPORAL_ADDRESS: address, HOLDFAST_TEMPORAL_NAMESPACE: namespace, HOLDFAST_TEMPORAL_UI: ui } = settings;
  const identity = `${userName()}@${hostname()}`;
  let connected: Promise<Holdfast> | undefined;
  return {
    terminal: createTerminal(process),
    settings,
    identity,
    holdfast() {
      connected ??= Holdfast.connect({ address, namespace, identity, connectTimeout: '3s' });
      return connected;
    },
    uiLink: (workflowId) =>
      `${ui.replace(/\/$/, '')}/namespaces/${encodeURIComponent(namespace)}/workflows/${encodeURIComponent(workflowId)}`,
    async [Symbol.asyncDispose]() {
      if (connected === undefined) return;
      const holdfast = await connected.catch(() => undefined); // a connection that never came needs no closing
      await holdfast?.close();
    },
  };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return 'unknown'; // a user id without a passwd entry, as in a container
  }
}

/** @throws CliError when nobody sits at a terminal, naming the flag to use instead. */
export function requireInteractive(terminal: Terminal, instead: string): void {
  if (!terminal.interactive) throw new CliError(`This asks a question, and nobody sits at a terminal. Use ${instead}.`);
}
