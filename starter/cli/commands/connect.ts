import { writeFile } from 'node:fs/promises';
import type { StatusReport } from '../../../config/status.ts';
import { type ExitCode, exitCodes } from '../exit-codes.ts';
import { CliError } from '../explain-error.ts';
import { type OutputFormat, renderOutput } from '../output.ts';
import { requireInteractive, type Session } from '../session.ts';
import { clientCommand, connectionFacts, renderConnection } from '../view/connect-view.ts';
import { requireCluster } from './reads.ts';

export interface ConnectOptions {
  readonly user?: string;
  readonly node?: string;
  readonly caFile?: string;
  readonly showPassword?: boolean;
  readonly exec?: boolean;
  readonly output: OutputFormat;
}

/** The node to talk to: the one asked for, else a primary, else any that runs. */
export function chooseNode(report: Pick<StatusReport, 'cluster' | 'shards'>, wanted: string | undefined): string {
  const nodes = report.shards.flatMap((shard) => shard.nodes);
  if (wanted !== undefined) {
    const found = nodes.find((node) => node.name === wanted);
    if (found === undefined)
      throw new CliError(
        `${report.cluster} has no node "${wanted}". Its nodes: ${nodes.map((node) => node.name).join(', ')}`,
        exitCodes.notFound,
      );
    return found.name;
  }
  const best = nodes.find((node) => node.role === 'primary' && node.state === 'running') ?? nodes.find((node) => node.state === 'running');
  if (best === undefined)
    throw new CliError(`No node of ${report.cluster} runs. See: holdfast status ${report.cluster}`, exitCodes.unhealthy);
  return best.name;
}

interface Users<U> {
  readonly users: readonly U[];
  /** Passwords that only the worker can read, with the reason. */
  readonly unreadable: readonly { readonly name: string; readonly why: string }[];
}

/**
 * The user to connect as: the one asked for, else the first of the spec whose password can be read here. The operator is never taken unasked: it
 * may do everything.
 */
export function chooseUser<U extends { readonly name: string }>(
  { users, unreadable }: Users<U>,
  system: string,
  cluster: string,
  wanted: string | undefined,
): U {
  const found = wanted === undefined ? users.find((user) => user.name !== system) : users.find((user) => user.name === wanted);
  if (found !== undefined) return found;
  const closed = wanted === undefined ? unreadable[0] : unreadable.find((user) => user.name === wanted);
  const others = users.map((user) => user.name).join(', ');
  if (closed !== undefined)
    throw new CliError(`${closed.why}. Give it to this command in the same way, or connect as another user (--user): ${others}`);
  const names = [...users, ...unreadable].map((user) => user.name).join(', ');
  if (wanted !== undefined) throw new CliError(`${cluster} has no user "${wanted}". Its users: ${names}`, exitCodes.notFound);
  throw new CliError(
    `${cluster} has no user for applications: add one under security.users and apply the spec. As the operator: --user ${system}`,
    exitCodes.notFound,
  );
}

/** `holdfast connect <cluster>`: how to reach it, or its engine's CLI in a node. */
export async function connect(session: Session, cluster: string, options: ConnectOptions): Promise<ExitCode> {
  const { terminal, settings } = session;
  if (options.exec === true) requireInteractive(terminal, 'it without --exec to print the commands');
  const report = await requireCluster(session, cluster);
  if (report.spec === undefined)
    throw new CliError(
      `No spec of ${cluster} is held, so it is not known how to connect. See: holdfast status ${cluster}`,
      exitCodes.notFound,
    );
  const { openCredentials, openEngineCli } = await import('../../../workers/access.ts');
  const { systemUsers } = await import('../../../config/names.ts');
  const { caCert, users, unreadable } = await openCredentials(settings, cluster);
  const user = chooseUser({ users, unreadable }, systemUsers.operator, cluster, options.user);
  const node = chooseNode(report, options.node);

  if (options.exec === true) {
    terminal.note(terminal.noteStyle.dim(`${node}, as ${user.name}; exit ends it\n`));
    const code = await openEngineCli(settings, {
      container: node,
      command: clientCommand(report.spec, user.name),
      password: user.password,
    });
    return code === 0 ? exitCodes.ok : exitCodes.failed;
  }
  if (options.caFile !== undefined) await writeFile(options.caFile, caCert);
  const facts = connectionFacts(report, report.spec, user, {
    ...(unreadable.length === 0 ? {} : { unreadable }),
    ...(options.caFile === undefined ? {} : { caFile: options.caFile }),
    ...(options.showPassword === true ? { password: user.password } : {}),
  });
  terminal.print(
    renderOutput(options.output, report.spec.security.tls ? { ...facts, caCert } : facts, () =>
      renderConnection(facts, caCert, terminal.style),
    ),
  );
  return exitCodes.ok;
}
