import { createHash } from 'node:crypto';

/** Secrets by a name that says where they are from; a finding names the secret and its form, and never shows it. */
export type Secrets = Readonly<Record<string, string>>;

/** Texts of a run, by where they were read. */
export type Evidence = Readonly<Record<string, string>>;

/** Shorter pieces would be found by chance. */
const LEAST = 12;

/**
 * The texts that give a secret away: itself, its lines, and what hex, base64 and SHA-256 make of it; base64 at each of the three places where
 * it can begin inside of a longer text.
 */
export function formsOf(secret: string): Readonly<Record<string, string>> {
  const bytes = Buffer.from(secret);
  const sha256 = createHash('sha256').update(bytes).digest();
  const forms: Record<string, string> = {
    'as it is': secret,
    'in JSON': JSON.stringify(secret).slice(1, -1),
    'in hex': bytes.toString('hex'),
    'as SHA-256 in hex': sha256.toString('hex'),
    'as SHA-256 in base64': sha256.toString('base64').replaceAll('=', ''),
  };
  for (const offset of [0, 1, 2]) {
    const inside = Buffer.concat([Buffer.alloc(offset), bytes])
      .toString('base64')
      .replaceAll('=', '');
    // The characters at both ends are made from neighbouring bytes too.
    const core = inside.slice(offset === 0 ? 0 : offset + 1, bytes.length + offset > 2 ? -1 : undefined);
    forms[`in base64 at ${offset}`] = core;
    forms[`in base64url at ${offset}`] = core.replaceAll('+', '-').replaceAll('/', '_');
  }
  for (const [at, line] of secret.split('\n').entries()) if (!line.startsWith('-----')) forms[`line ${at + 1}`] = line;
  return Object.fromEntries(Object.entries(forms).filter(([, form]) => form.length >= LEAST));
}

/** What can be read in the evidence, as sentences. Empty, when nothing is. */
export function findSecrets(secrets: Secrets, evidence: Evidence): readonly string[] {
  const wanted = Object.entries(secrets).flatMap(([secret, value]) =>
    Object.entries(formsOf(value)).map(([form, text]) => ({ what: `${secret} ${form}`, text })),
  );
  return Object.entries(evidence).flatMap(([where, text]) => [
    ...wanted.filter((one) => text.includes(one.text)).map((one) => `${where} holds ${one.what}`),
    ...(/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text) ? [`${where} holds a private key`] : []),
  ]);
}
