import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { TemporalFailure } from '@temporalio/common';
import Docker from 'dockerode';
import { failures } from '../../config/failures.ts';
import type { Settings } from '../../config/settings.ts';
import { fatal, messageOf, passing } from '../support/failure.ts';
import { attempt, refuseWhenCancelled } from '../support/until.ts';

/** A client of the engine that the settings name. Connects when it is first used. */
export function createEngine(settings: Settings): Docker {
  const url = new URL(settings.HOLDFAST_DOCKER_HOST);
  const timeout = 60_000;
  if (url.protocol === 'unix:') return new Docker({ socketPath: url.pathname, timeout });
  const protocol = url.protocol === 'ssh:' ? 'ssh' : url.protocol === 'https:' ? 'https' : 'http';
  return new Docker({
    protocol,
    host: url.hostname,
    port: Number(url.port || (protocol === 'ssh' ? 22 : 2375)),
    timeout,
    ...(url.username === '' ? {} : { username: url.username }),
  });
}

const NOT_REACHED = new Set([
  'ECONNREFUSED',
  'ENOENT',
  'EACCES',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'ESOCKETTIMEDOUT',
]);

const ENGINE_TRIES = 6;

/** The engine's HTTP status of an error, when it answered at all. */
export const statusOf = (error: unknown): number | undefined =>
  typeof error === 'object' && error !== null && 'statusCode' in error && typeof error.statusCode === 'number'
    ? error.statusCode
    : undefined;

const codeOf = (error: unknown): string => (typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '');

/**
 * The engine answers 500 with a message for many mistakes of its users; what those mean is decided here and nowhere else.
 * @param doing what was tried, for the message: `start demo-0-0`.
 */
export function engineFailure(error: unknown, doing: string): Error {
  const message = messageOf(error);
  if (NOT_REACHED.has(codeOf(error)) || /socket hang up|server is shutting down|context canceled/i.test(message)) {
    return passing(
      failures.hostUnreachable,
      `cannot ${doing}: the Docker engine does not answer (${message}). Is it running? holdfast doctor`,
      error,
    );
  }
  if (/no space left on device/i.test(message))
    return fatal(failures.hostFull, `cannot ${doing}: the host's disk is full (${message}). Free space: docker system df`);
  if (/cannot allocate memory|out of memory/i.test(message))
    return fatal(failures.hostFull, `cannot ${doing}: the host has no memory left (${message})`);
  if (/no such image|manifest unknown|pull access denied|repository does not exist/i.test(message))
    return fatal(failures.imageNotAvailable, `cannot ${doing}: ${message}`);
  if (/executable file not found/i.test(message))
    return fatal(failures.imageNotAvailable, `cannot ${doing}: the image lacks the server's program (${message})`);
  // An engine that has just come up refuses things that it does a moment later; what it still refuses then, it refuses for good.
  const said = `cannot ${doing}: the Docker engine says: ${message.trim()}`;
  return attempt() < ENGINE_TRIES ? passing(failures.engineRefused, said, error) : fatal(failures.engineRefused, said);
}

/** Runs one call to the engine and classifies what goes wrong. `missing` is returned for 404. */
export async function engineCall<T, M = never>(doing: string, call: () => Promise<T>, missing?: () => M): Promise<T | M> {
  refuseWhenCancelled();
  try {
    return await call();
  } catch (error) {
    if (statusOf(error) === 404 && missing !== undefined) return missing();
    if (error instanceof TemporalFailure) throw error;
    throw engineFailure(error, doing);
  }
}

/** The id of the container that this process lives in, or undefined on a host. */
export async function ownContainer(docker: Docker): Promise<string | undefined> {
  if (!existsSync('/.dockerenv')) return undefined;
  const found = await engineCall(
    'find the own container',
    () => docker.getContainer(hostname()).inspect(),
    () => undefined,
  );
  return found?.Id;
}
