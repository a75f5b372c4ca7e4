import type Docker from 'dockerode';
import { failures } from '../../config/failures.ts';
import { fatal, messageOf } from '../support/failure.ts';
import { engineCall, engineFailure } from './engine.ts';

/**
 * The image is on the host; pulled when it is not.
 * @throws ImageNotAvailable when the registry does not have it or cannot be reached.
 */
export async function ensureImage(docker: Docker, reference: string): Promise<{ readonly pulled: boolean }> {
  const present = await engineCall(
    `look for image ${reference}`,
    () => docker.getImage(reference).inspect(),
    () => undefined,
  );
  if (present !== undefined) return { pulled: false };
  try {
    const stream = await docker.pull(reference);
    await new Promise<void>((resolve, reject) => {
      docker.modem.followProgress(stream, (error) => (error === null || error === undefined ? resolve() : reject(error)));
    });
    return { pulled: true };
  } catch (error) {
    const failure = engineFailure(error, `pull ${reference}`);
    if (/does not answer/.test(failure.message)) throw failure;
    throw fatal(
      failures.imageNotAvailable,
      `image ${reference} is not on the host and cannot be pulled (${messageOf(error)}): load it there (docker load), or let the host reach its registry`,
    );
  }
}
