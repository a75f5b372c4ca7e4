import type { ClusterSpec } from '../../../config/cluster-spec.ts';
import { findEngineVersion } from '../../../config/engines.ts';
import { nodePaths, ports, sentinelMasterName } from '../../../config/names.ts';
import type { StatusReport } from '../../../config/status.ts';
import type { Style } from '../terminal.ts';

/** How a client reaches a cluster. The password is there only when it was asked for. */
export interface ConnectionFacts {
  readonly cluster: string;
  readonly engine: string;
  readonly mode: 'cluster' | 'sentinel';
  readonly tls: boolean;
  readonly user: string;
  readonly password?: string;
  readonly caFile?: string;
  /** Users whose password cannot be read here, with the reason. */
  readonly unreadable?: readonly { readonly name: string; readonly why: string }[];
  /** `address:port` of every data node, primaries first. */
  readonly nodes: readonly string[];
  /** Of every sentinel, and the name to ask them for. */
  readonly sentinels: readonly string[];
  readonly masterName?: string;
  readonly cli: string;
  /** The variable that the engine's CLI takes the password from. */
  readonly passwordVariable: string;
  readonly url: string;
  readonly network?: string;
}

export const passwordVariable = (engine: 'redis' | 'valkey') => (engine === 'valkey' ? 'VALKEYCLI_AUTH' : 'REDISCLI_AUTH');

/** The engine's CLI inside a node's container. The password comes by the environment: a command line can be read by others. */
export function clientCommand(spec: ClusterSpec, user: string): readonly string[] {
  const cli = findEngineVersion(spec.engine, spec.version)?.cli ?? `${spec.engine}-cli`;
  const tls = spec.security.tls ? ['--tls', '--cacert', nodePaths.caCert] : [];
  return [cli, ...(spec.mode === 'cluster' ? ['-c'] : []), '-p', String(ports.server), ...tls, '--user', user];
}

export function connectionFacts(
  report: StatusReport,
  spec: ClusterSpec,
  user: { readonly name: string },
  shown: Pick<ConnectionFacts, 'password' | 'caFile' | 'unreadable'>,
): ConnectionFacts {
  const data = report.shards.flatMap((shard) => shard.nodes);
  const ordered = [...data].sort((a, b) => Number(b.role === 'primary') - Number(a.role === 'primary'));
  const nodes = ordered.map((node) => `${node.address}:${ports.server}`);
  const scheme = spec.security.tls ? 'rediss' : 'redis';
  const secret = shown.password === undefined ? '<password>' : encodeURIComponent(shown.password);
  return {
    cluster: report.cluster,
    engine: spec.engine,
    mode: spec.mode,
    tls: spec.security.tls,
    user: user.name,
    ...shown,
    nodes,
    sentinels: report.sentinels.map((node) => `${node.address}:${ports.sentinel}`),
    ...(spec.mode === 'sentinel' ? { masterName: sentinelMasterName(report.cluster) } : {}),
    cli: findEngineVersion(spec.engine, spec.version)?.cli ?? `${spec.engine}-cli`,
    passwordVariable: passwordVariable(spec.engine),
    url: `${scheme}://${encodeURIComponent(user.name)}:${secret}@${nodes[0] ?? ''}`,
    ...(report.network === undefined ? {} : { network: report.network.name }),
  };
}

const endpoint = (address: string) => {
  const [host = '', port = ''] = address.split(':');
  return `{ host: '${host}', port: ${port} }`;
};

function ioredisSnippet(facts: ConnectionFacts): readonly string[] {
  const tls = facts.tls ? `, tls: { ca: readFileSync('${facts.caFile ?? 'ca.crt'}') }` : '';
  const auth = `username: '${facts.user}', password: process.env.PASSWORD${tls}`;
  if (facts.mode === 'cluster')
    return ['new Cluster(', `  [${facts.nodes.slice(0, 3).map(endpoint).join(', ')}],`, `  { redisOptions: { ${auth} } },`, ');'];
  const sentinelTls = facts.tls ? `, enableTLSForSentinelMode: true, sentinelTLS: { ca: readFileSync('${facts.caFile ?? 'ca.crt'}') }` : '';
  return [
    'new Redis({',
    `  sentinels: [${facts.sentinels.map(endpoint).join(', ')}], name: '${facts.masterName}',`,
    `  ${auth},`,
    `  sentinelUsername: '${facts.user}', sentinelPassword: process.env.PASSWORD${sentinelTls},`,
    '});',
  ];
}

/** What a person needs to connect, ready to paste. */
export function renderConnection(facts: ConnectionFacts, caCert: string, style: Style): string {
  const { cluster, user, password, caFile, unreadable = [], nodes, sentinels, tls, cli, mode } = facts;
  const [host = '', port = ''] = (nodes[0] ?? '').split(':');
  const flags = [mode === 'cluster' ? '-c' : '', tls ? `--tls --cacert ${caFile ?? 'ca.crt'}` : '', `--user ${user}`]
    .filter((flag) => flag !== '')
    .join(' ');
  const title = (text: string) => style.strong(text.padEnd(10));
  const lines = [
    `${title('addresses')}${nodes.join(' ')}`,
    ...(sentinels.length > 0 ? [`${title('sentinels')}${sentinels.join(' ')}, master name ${facts.masterName}`] : []),
    `${title('user')}${user}`,
    `${title('password')}${password ?? style.dim(`hidden: holdfast connect ${cluster} --user ${user} --show-password`)}`,
    ...unreadable.map(({ why }) => `${title('not here')}${style.warn(why)}`),
    ...(tls ? [`${title('CA')}${caFile ?? style.dim(`printed below; into a file: holdfast connect ${cluster} --ca-file ca.crt`)}`] : []),
    `${title('URL')}${facts.url}`,
    '',
    style.dim(`# the nodes listen in the network ${facts.network ?? 'of the cluster'} of the Docker host only: run these there`),
    `export ${facts.passwordVariable}=${password ?? '<password>'}`,
    `${cli} -h ${host} -p ${port} ${flags}`,
    `holdfast connect ${cluster} --exec${style.dim('   # the same, inside a node')}`,
    '',
    style.dim('// ioredis'),
    ...ioredisSnippet(facts),
  ];
  if (tls && caFile === undefined) lines.push('', caCert.trim());
  return lines.join('\n');
}
