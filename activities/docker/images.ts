import { cancellationSignal } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type Docker from 'dockerode';
import { failures } from '../../config/failures.ts';
import { fatal, messageOf } from '../support/failure.ts';
import { attempt, refuseWhenCancelled } from '../support/until.ts';
import { engineCall, engineFailure } from './engine.ts';

/** A registry may be away for a moment. */
const PULL_TRIES = 3;

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
    const stream = await docker.pull(reference, { abortSignal: cancellationSignal() });
    await new Promise<void>((resolve, reject) => {
      docker.modem.followProgress(stream, (error) => (error === null || error === undefined ? resolve() : reject(error)));
    });
    return { pulled: true };
  } catch (error) {
    refuseWhenCancelled();
    const failure = engineFailure(error, `pull ${reference}`);
    const passes = failure instanceof ApplicationFailure && failure.nonRetryable !== true && attempt() < PULL_TRIES;
    if (
      passes ||
      (failure instanceof ApplicationFailure && failure.type !== failures.engineRefused && failure.type !== failures.imageNotAvailable)
    )
      throw failure;
    throw fatal(
      failures.imageNotAvailable,
      `image ${reference} is not on the host and cannot be pulled (${messageOf(error)}): load it there (docker load), or let the host reach its registry`,
    );
  }
}
