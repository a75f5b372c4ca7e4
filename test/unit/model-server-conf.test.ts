import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { systemUsers } from '../../config/names.ts';
import {
  liveParameters,
  maxmemoryOf,
  quorumOf,
  renderAcl,
  renderSentinelAcl,
  renderSentinelConf,
  renderServerConf,
} from '../../model/server-conf.ts';
import { anySpec, sentinelSpec, specOf } from './model-observations.ts';

const passwords = { operator: 'op-secret', replication: 'repl-secret', sentinel: 'sent-secret' };
const hashed = [{ name: 'app', rules: '~app:* +@read', passwordSha256: 'ab'.repeat(32) }];
const linesOf = (text: string) => text.trim().split('\n');

describe('server.conf', () => {
  test('says each thing once, whatever the spec', () => {
    fc.assert(
      fc.property(anySpec(), (spec) => {
        const names = linesOf(renderServerConf(spec, '10.0.0.16', passwords)).map((line) => line.split(' ')[0]);
        expect(new Set(names).size).toBe(names.length);
      }),
    );
  });

  test('with TLS opens no plain port, for clients, replicas or the bus', () => {
    const lines = linesOf(renderServerConf(specOf(), '10.0.0.16', passwords));
    expect(lines).toEqual(expect.arrayContaining(['port 0', 'tls-port 6379', 'tls-replication yes', 'tls-cluster yes']));
    expect(linesOf(renderServerConf(specOf({ security: { tls: false } }), '10.0.0.16', passwords)).join('\n')).not.toContain('tls');
  });

  test('holds only the password that the node itself needs', () => {
    const text = renderServerConf(specOf(), '10.0.0.16', passwords);
    expect(text).toContain(`masterauth ${passwords.replication}`);
    expect(text).not.toContain(passwords.operator);
  });

  test('writes what the spec’s config says over what Holdfast would', () => {
    const spec = specOf({ config: { 'cluster-node-timeout': '9000', maxmemory: '100mb' } });
    expect(linesOf(renderServerConf(spec, '10.0.0.16', passwords))).toEqual(
      expect.arrayContaining(['cluster-node-timeout 9000', 'maxmemory 100mb']),
    );
  });

  test('writes snapshots and buffer limits one a line', () => {
    const spec = specOf({
      persistence: {
        snapshots: [
          { seconds: 3600, changes: 1 },
          { seconds: 60, changes: 100 },
        ],
      },
      config: { 'client-output-buffer-limit': 'normal 0 0 0 pubsub 32mb 8mb 60' },
    });
    const lines = linesOf(renderServerConf(spec, '10.0.0.16', passwords));
    expect(lines.filter((line) => line.startsWith('save'))).toEqual(['save 3600 1', 'save 60 100']);
    expect(lines.filter((line) => line.startsWith('client-output'))).toEqual([
      'client-output-buffer-limit normal 0 0 0',
      'client-output-buffer-limit pubsub 32mb 8mb 60',
    ]);
    expect(liveParameters(spec).save).toBe('3600 1 60 100');
    expect(linesOf(renderServerConf(specOf(), '10.0.0.16', passwords))).toContain('save ""');
  });

  test('in sentinel mode replicas follow the primary, and the primary follows nobody', () => {
    const spec = sentinelSpec();
    expect(renderServerConf(spec, '10.0.0.17', passwords, '10.0.0.16')).toContain('\nreplicaof 10.0.0.16 6379\n');
    expect(renderServerConf(spec, '10.0.0.16', passwords)).not.toContain('replicaof');
  });

  test('leaves a quarter of the memory for buffers, forks and fragmentation', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 64, max: 100_000 }),
        (mib) => maxmemoryOf(specOf({ resources: { memory: `${mib}Mi` } })) === mib * 1024 * 768,
      ),
    );
  });
});

describe('the ACL file', () => {
  test('knows nobody by default, and no password in the clear', () => {
    for (const text of [
      renderAcl(specOf(), passwords, hashed),
      renderAcl(sentinelSpec(), passwords, hashed),
      renderSentinelAcl(passwords, hashed),
    ]) {
      expect(linesOf(text)[0]).toBe('user default off resetkeys resetchannels -@all');
      for (const password of Object.values(passwords)) expect(text).not.toContain(password);
      for (const line of linesOf(text).slice(1)) expect(line).toMatch(/^user \S+ on #[0-9a-f]{64} /);
    }
  });

  test('gives the sentinel user to nodes that sentinels watch, and to no others', () => {
    expect(renderAcl(sentinelSpec(), passwords, [])).toContain(`user ${systemUsers.sentinel} `);
    expect(renderAcl(specOf(), passwords, [])).not.toContain(systemUsers.sentinel);
  });

  test('lets an application ask a sentinel where the primary is, and change nothing there', () => {
    const line = linesOf(renderSentinelAcl(passwords, hashed)).find((one) => one.startsWith('user app '));
    expect(line).toContain('+sentinel|get-master-addr-by-name');
    expect(line).not.toMatch(/\+@all|\+sentinel( |$)|\+sentinel\|(failover|set|remove|reset|monitor)/);
  });
});

describe('sentinel.conf', () => {
  test('asks a majority before a failover', () => {
    expect([sentinelSpec(), sentinelSpec({ sentinels: 5 })].map(quorumOf)).toEqual([2, 3]);
    expect(renderSentinelConf(sentinelSpec(), '10.0.0.2', '10.0.0.16', passwords)).toContain(
      '\nsentinel monitor orders 10.0.0.16 6379 2\n',
    );
  });

  test('with TLS opens no plain port', () => {
    const lines = linesOf(renderSentinelConf(sentinelSpec(), '10.0.0.2', '10.0.0.16', passwords));
    expect(lines).toEqual(expect.arrayContaining(['port 0', 'tls-port 26379', 'tls-replication yes']));
  });
});
