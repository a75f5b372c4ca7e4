import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { holdings } from './clusters.ts';
import type { Evidence } from './crash-secret-forms.ts';
import type { Stack } from './stack.ts';

/**
 * JSON for reading: bytes are shown as the text that they hold, which is how payloads become readable, and as base64 too, in case that text is
 * itself encoded.
 */
export const readable = (value: unknown): string =>
  JSON.stringify(
    value,
    (_, part: unknown) => {
      if (typeof part === 'bigint') return String(part);
      if (part instanceof Map) return Object.fromEntries(part);
      const bytes = bytesOf(part);
      return bytes === undefined ? part : { text: bytes.toString(), base64: bytes.toString('base64') };
    },
    1,
  );

/** A Buffer has become `{type: 'Buffer', data}` by the time a replacer sees it. */
function bytesOf(part: unknown): Buffer | undefined {
  if (part instanceof Uint8Array) return Buffer.from(part);
  if (typeof part !== 'object' || part === null || !('type' in part) || part.type !== 'Buffer' || !('data' in part)) return undefined;
  return Array.isArray(part.data) ? Buffer.from(part.data as number[]) : undefined;
}

/** Every workflow that Temporal knows: its whole history, and its memo, search attributes, details and pending failures. */
export async function workflowEvidence({ client }: Stack): Promise<{ readonly types: ReadonlySet<string>; readonly evidence: Evidence }> {
  const evidence: Record<string, string> = {};
  const types = new Set<string>();
  for await (const { workflowId, runId, type } of client.workflow.list()) {
    const handle = client.workflow.getHandle(workflowId, runId);
    types.add(type);
    evidence[`the history of ${type} ${workflowId} ${runId}`] = readable(await handle.fetchHistory());
    evidence[`the description of ${type} ${workflowId} ${runId}`] = readable((await handle.describe()).raw);
  }
  return { types, evidence };
}

/** All that the engine tells of a cluster's containers, volumes and networks, and what the servers have logged. */
export async function engineEvidence({ dependencies: { docker } }: Stack, cluster: string): Promise<Evidence> {
  const { containers, volumes, networks } = await holdings(docker, cluster);
  const of = async (kind: string, name: string, look: Promise<unknown>) =>
    [`docker inspect of ${kind} ${name}`, readable(await look)] as const;
  const looks = [
    ...containers.map((name) => of('container', name, docker.getContainer(name).inspect())),
    ...containers.map(async (name) => {
      const log = await docker.getContainer(name).logs({ stdout: true, stderr: true });
      return [`the log of ${name}`, log.toString()] as const;
    }),
    ...volumes.map((name) => of('volume', name, docker.getVolume(name).inspect())),
    ...networks.map((name) => of('network', name, docker.getNetwork(name).inspect())),
  ];
  return Object.fromEntries(await Promise.all(looks));
}

/** Every object in the bucket, with its key. */
export async function bucketEvidence({ dependencies: { store } }: Stack): Promise<Evidence> {
  const keys = await store.list('');
  const objects = keys.map(async (key) => [`object ${key}`, Buffer.from((await store.get(key)) ?? []).toString()] as const);
  return Object.fromEntries(await Promise.all(objects));
}

/** What the processes wrote: the workers' logs, the servers' logs, and Temporal's database as it lies on the disk. */
export function fileEvidence(stack: Stack): Evidence {
  const files = readdirSync(stack.folder).filter((name) => /\.log$|^temporal\.db/.test(name));
  return Object.fromEntries(files.map((name) => [`file ${name}`, readFileSync(join(stack.folder, name), 'latin1')]));
}
