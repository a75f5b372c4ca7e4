import type { OperationInput } from '../../../config/operations.ts';
import { carryOut } from '../carry-out.ts';
import { type ExitCode, exitCodes } from '../exit-codes.ts';
import { type OutputFormat, renderOutput } from '../output.ts';
import type { Session } from '../session.ts';
import { type StartingOptions, sharedInput } from '../shared-options.ts';
import { renderBackup, renderBackups } from '../view/backup-view.ts';
import { waiting } from '../waiting.ts';

export interface BackupOptions extends StartingOptions {
  readonly label?: string;
  /** ISO 8601. */
  readonly keepUntil?: string;
  readonly verify?: 'load' | 'checksum';
  readonly fromPrimary?: true;
  readonly shardsAtOnce?: number;
}

export interface VerifyOptions extends StartingOptions {
  readonly verify?: 'load' | 'checksum';
  readonly host?: string;
  readonly shardsAtOnce?: number;
}

interface ReadOptions {
  readonly output: OutputFormat;
}

export function backupInputOf(cluster: string, options: BackupOptions): OperationInput<'backup'> {
  const { label, keepUntil, verify, fromPrimary, shardsAtOnce } = options;
  return { cluster, label, keepUntil, verify, fromPrimary, shardsAtOnce, ...sharedInput(options) };
}

/** `holdfast backup create <cluster>` */
export async function createBackup(session: Session, cluster: string, options: BackupOptions): Promise<ExitCode> {
  const input = backupInputOf(cluster, options);
  return carryOut<'backup'>(session, { request: () => ({ operation: 'backup', input }), options });
}

/** `holdfast backup verify <cluster> <backup>`. Asks nobody: it changes nothing but what is said of the backup. */
export async function verifyBackup(session: Session, cluster: string, backup: string, options: VerifyOptions): Promise<ExitCode> {
  const { verify, host, shardsAtOnce } = options;
  const input: OperationInput<'verifyBackup'> = { cluster, backup, verify, host, shardsAtOnce, ...sharedInput(options) };
  return carryOut<'verifyBackup'>(session, {
    request: () => ({ operation: 'verifyBackup', input }),
    options: { ...options, yes: true },
  });
}

/** `holdfast backup list <cluster>` */
export async function listBackups(
  session: Session,
  cluster: string,
  { output, limit }: ReadOptions & { readonly limit: number },
): Promise<ExitCode> {
  const { terminal } = session;
  const found = await waiting(terminal, 'looking for backups', (await session.holdfast()).backups.list(cluster, { limit }));
  terminal.print(renderOutput(output, found, (wide) => renderBackups(cluster, found, wide, terminal.style)));
  return exitCodes.ok;
}

/** `holdfast backup show <cluster> <id>` */
export async function showBackup(session: Session, cluster: string, id: string, { output }: ReadOptions): Promise<ExitCode> {
  const { terminal } = session;
  const found = await waiting(terminal, 'reading the manifest', (await session.holdfast()).backups.describe(cluster, id));
  terminal.print(renderOutput(output, found, (wide) => renderBackup(found, wide, terminal.style)));
  return exitCodes.ok;
}
