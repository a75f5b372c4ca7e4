import { Readable } from 'node:stream';
import type Docker from 'dockerode';
import { extract, pack } from 'tar-stream';
import { nodePaths } from '../../config/names.ts';
import { NODE_UID } from './containers.ts';
import { engineCall } from './engine.ts';

/** A file for a node's volume, by its path in the container. */
export interface NodeFile {
  readonly path: string;
  readonly text: string;
}

/**
 * Whether a volume was laid out before: by an earlier attempt, or because it was kept. Then it is left alone: its nodes.conf is the node's
 * identity, and its server.conf holds what the server wrote.
 */
export const isLaidOut = async (docker: Docker, container: string): Promise<boolean> =>
  (await readFromNode(docker, container, nodePaths.serverConf)) !== undefined;

/** A small file of a node's volume, whether its container runs or not; undefined when it is not there. */
export async function readFromNode(docker: Docker, container: string, path: string): Promise<string | undefined> {
  const archive = await engineCall(
    `read ${path} of ${container}`,
    () => docker.getContainer(container).getArchive({ path }),
    () => undefined,
  );
  if (archive === undefined) return undefined;
  for await (const entry of Readable.from(archive).pipe(extract())) {
    const parts: Buffer[] = [];
    for await (const part of entry) parts.push(part as Buffer);
    return Buffer.concat(parts).toString();
  }
  return undefined;
}

/** Copies files into a node's volume, through the engine's API. They appear in this order. */
export async function putIntoNode(
  docker: Docker,
  container: string,
  files: readonly NodeFile[],
  folders: readonly string[] = [],
): Promise<void> {
  const owner = { uid: NODE_UID, gid: NODE_UID };
  const tar = pack();
  const inside = (path: string) => path.slice(nodePaths.mount.length + 1);
  for (const folder of folders) tar.entry({ name: inside(folder), type: 'directory', mode: 0o700, ...owner });
  for (const file of files) tar.entry({ name: inside(file.path), mode: 0o600, ...owner }, file.text);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  await engineCall(`copy files to ${container}`, () =>
    docker.getContainer(container).putArchive(Buffer.concat(chunks), { path: nodePaths.mount }),
  );
}

/** Sends a tar archive into a node's volume while it is made. Others that look at the container wait until it is through. */
export const putTar =
  (docker: Docker, container: string) =>
  async (tar: Readable, abortSignal: AbortSignal): Promise<void> => {
    await engineCall(`copy data to ${container}`, () =>
      docker.getContainer(container).putArchive(tar, { path: nodePaths.mount, abortSignal }),
    );
  };

/** The first files of a node that was never started. server.conf must come last: it says that the copy is complete. */
export const layOut = (docker: Docker, container: string, files: readonly NodeFile[]): Promise<void> =>
  putIntoNode(docker, container, files, [nodePaths.conf, nodePaths.tls, nodePaths.db]);
