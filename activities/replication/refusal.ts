import { failures } from '../../config/failures.ts';
import { fatal } from '../support/failure.ts';

/** The server refuses for now: it loads, it is not connected to its primary, it cannot fork. What was asked can be asked again. */
export class ReplicationNotNow extends Error {}

/** Refusals that pass although they begin with ERR. */
const PASSING = /^ERR (BGSAVE failed|max number of clients|.*while failing over|.*not connected with my master)/i;
const ADVICE: Readonly<Record<string, string>> = {
  NOPERM: 'Next: give the user +psync +replconf +ping (ACL SETUSER, ACL SAVE)',
  WRONGPASS: "Next: the user's password in the secret store is not the server's; was users.acl changed by hand?",
  NOAUTH: 'Next: the server asks for a user and a password; was users.acl changed by hand?',
  DENIED: 'Next: the server is in protected mode, which no node of Holdfast is: is this the right address?',
};
const FINAL = new Set(['ERR', ...Object.keys(ADVICE)]);

/**
 * An error that a server answered to a replica. What says ERR will be said again, and what has a name of its own (LOADING, NOMASTERLINK) passes,
 * but for rights: those a person must give. The servers' replication.c has the words.
 * @param doing what was asked of it: `answer PSYNC`
 */
export function refusal(line: string, address: string, doing: string): Error {
  const said = line.replace(/^-+/, '');
  const kind = said.split(' ', 1)[0] ?? '';
  const message = `${address} does not ${doing}: ${said || '(nothing)'}`;
  if (!FINAL.has(kind) && /^[A-Z]+$/.test(kind)) return new ReplicationNotNow(`${message}. It passes: ask again in a moment`);
  if (PASSING.test(said)) return new ReplicationNotNow(`${message}. It may pass: ask again in a moment; its log says more`);
  return fatal(failures.engineRefused, `${message}. ${ADVICE[kind] ?? "Next: look into the server's log"}`);
}
