import { describe, expect, test } from 'vitest';
import { pairs, parseAclList, parseClusterNodes, parseInfo, realReplicas } from '../../activities/redis/parse.ts';

/** Answers of real servers: three of them, one slot of the first being moved to the second. */
const redis70 = `c28fdde55432a7a81768ad17a3d0cc21916bcdb8 127.0.0.1:7002@17002 master - 0 1795232165626 0 connected 5461 5463-16383
7760043d4943bda249dbaf2badfa3dc88dee1dd6 127.0.0.1:7003@17003 slave a6c2fd123d840836d640d4ce55c9ea0f362a7282 0 1795232164557 1 connected
a6c2fd123d840836d640d4ce55c9ea0f362a7282 127.0.0.1:7001@17001 myself,master - 0 1795232163000 1 connected 0-5460 5462 [100->-c28fdde55432a7a81768ad17a3d0cc21916bcdb8]
`;
const valkey91 = `f10cec96b8ccadd8c029f967fb05da55766028aa 127.0.0.1:7002@17002 master - 0 1795232174308 0 connected 5461 5463-16383
1800a7a5cf604d95b10edaec93d85d96387d6db7 127.0.0.1:7001@17001 myself,master - 0 0 1 connected 0-5460 5462 [100->-f10cec96b8ccadd8c029f967fb05da55766028aa]
377eeddd981b299cd5e8dd6f81156a953f539586 127.0.0.1:7003@17003 slave 1800a7a5cf604d95b10edaec93d85d96387d6db7 0 1795232173206 1 connected
`;

describe('CLUSTER NODES', () => {
  test.each([
    ['redis 7.0', redis70],
    ['valkey 9.1', valkey91],
  ])('of %s is read', (_, text) => {
    const members = parseClusterNodes(text).toSorted((a, b) =>
      a.address < b.address ? -1 : a.address > b.address ? 1 : a.role < b.role ? -1 : 1,
    );
    const me = members.find((member) => member.myself);
    expect(members).toHaveLength(3);
    expect(me).toMatchObject({
      role: 'primary',
      primaryId: '',
      epoch: 1,
      slots: [
        [0, 5460],
        [5462, 5462],
      ],
      linked: true,
      flags: [],
    });
    expect(me?.openSlots).toHaveLength(1);
    expect(members.find((member) => member.role === 'replica')).toMatchObject({ primaryId: me?.nodeId, slots: [], openSlots: [] });
    expect(members.find((member) => member.role === 'primary' && !member.myself)?.slots).toEqual([
      [5461, 5461],
      [5463, 16383],
    ]);
  });

  test('tells suspected, failed, unlinked and half-known nodes', () => {
    const [suspected, failed, stranger] =
      parseClusterNodes(`${'a'.repeat(40)} 10.0.0.1:6379@16379,,shard-id=x master,fail? - 1 1 3 connected 1-2
${'b'.repeat(40)} 10.0.0.2:6379@16379,host.example master,fail - 1 1 2 disconnected
${'c'.repeat(40)} :0@0 master,noaddr,handshake - 0 0 0 disconnected
`);
    expect(suspected).toMatchObject({ address: '10.0.0.1', flags: ['fail?'], linked: true, slots: [[1, 2]] });
    expect(failed).toMatchObject({ address: '10.0.0.2', flags: ['fail'], linked: false });
    expect(stranger).toMatchObject({ address: '', flags: ['noaddr', 'handshake'], linked: false });
  });
});

test('INFO is read with its line ends, sections and values that hold colons', () => {
  const fields = parseInfo(
    '# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\nconfig_file:a:b\r\n\r\n# Replication\r\nrole:master\r\n',
  );
  expect(Object.fromEntries(fields)).toEqual({
    redis_version: '7.2.4',
    server_name: 'valkey',
    valkey_version: '9.1.2',
    config_file: 'a:b',
    role: 'master',
  });
});

test('ACL LIST is read without password hashes', () => {
  const users = parseAclList([`user app on #${'0'.repeat(64)} ~* resetchannels -@all +get`, 'user default off resetchannels -@all']);
  expect(users).toEqual({ app: 'on ~* resetchannels -@all +get', default: 'off resetchannels -@all' });
});

test('a flat reply becomes a record, and a name without a value is left out', () => {
  expect(pairs(['a', '1', 'b', '2', 'c'])).toEqual({ a: '1', b: '2' });
});

test('SENTINEL REPLICAS counts replicas, and neither an archive nor a backup that followed the primary', () => {
  const replica = ['name', '10.50.1.3:6379', 'ip', '10.50.1.3', 'port', '6379', 'flags', 'slave', 'master-link-status', 'ok'];
  const gone = ['name', '10.50.1.4:6379', 'ip', '10.50.1.4', 'port', '6379', 'flags', 's_down,slave,disconnected'];
  const follower = ['name', '10.50.1.1:0', 'ip', '10.50.1.1', 'port', '0', 'flags', 's_down,slave,disconnected'];
  expect(realReplicas([replica, follower])).toBe(1);
  expect(realReplicas([follower, gone, replica])).toBe(2);
  expect(realReplicas([])).toBe(0);
});
