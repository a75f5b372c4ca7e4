import type { Engine } from '../../config/engines.ts';

/** A server by its engine and version, which may have a patch level. */
export interface Release {
  readonly engine: Engine;
  readonly version: string;
}

/** Valkey began as Redis 7.2: what Redis wrote later is in formats of its own. */
const LAST_COMMON = [7, 2] as const;

const numbers = (version: string): readonly [number, number] => {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return [major, minor];
};

const notAfter = ([major, minor]: readonly [number, number], [otherMajor, otherMinor]: readonly [number, number]): boolean =>
  major < otherMajor || (major === otherMajor && minor <= otherMinor);

/**
 * Why a server cannot load what another one wrote; undefined when it can. Servers read what older ones of their own kind wrote, and Valkey what Redis wrote up to 7.2;
 * never the other way round.
 */
export function whyUnreadable(from: Release, to: Release): string | undefined {
  const [written, reads] = [numbers(from.version), numbers(to.version)];
  if (from.engine === to.engine)
    return notAfter(written, reads)
      ? undefined
      : `${to.engine} ${to.version} cannot load what ${from.engine} ${from.version} wrote: choose version ${written.join('.')} or later`;
  if (to.engine === 'valkey' && notAfter(written, LAST_COMMON)) return undefined;
  return `${to.engine} ${to.version} cannot load what ${from.engine} ${from.version} wrote: choose ${from.engine} ${written.join('.')} or later`;
}
