import type Docker from 'dockerode';
import { pack } from 'tar-stream';
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
export async function isLaidOut(docker: Docker, container: string): Promise<boolean> {
  const found = await engineCall(
    `look into the volume of ${container}`,
    () => docker.getContainer(container).getArchive({ path: nodePaths.serverConf }),
    () => undefined,
  );
  if (found === undefined) return false;
  found.on('error', () => found.removeAllListeners()); // the answer's body is not wanted; its end may come as an error
  if ('destroy' in found && typeof found.destroy === 'function') found.destroy();
  return true;
}

/**
 * Copies files into the volume of a container that was never started, through the engine's API. server.conf must come last: it says that the
 * copy is complete.
 */
export async function layOut(docker: Docker, container: string, files: readonly NodeFile[]): Promise<void> {
  const owner = { uid: NODE_UID, gid: NODE_UID };
  const tar = pack();
  const root = `${nodePaths.mount}/`;
  for (const folder of [nodePaths.conf, nodePaths.tls, nodePaths.db])
    tar.entry({ name: folder.slice(root.length), type: 'directory', mode: 0o700, ...owner });
  for (const file of files) tar.entry({ name: file.path.slice(root.length), mode: 0o600, ...owner }, file.text);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  await engineCall(`copy files to ${container}`, () =>
    docker.getContainer(container).putArchive(Buffer.concat(chunks), { path: nodePaths.mount }),
  );
}
