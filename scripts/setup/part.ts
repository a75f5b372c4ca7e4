const COLUMN = 58;

/** One line of bootstrap's report: the part, what was done, how long it took. */
export function reportLine(name: string, what: string, sinceMs: number): string {
  const seconds = ((Date.now() - sinceMs) / 1000).toFixed(1).padStart(6);
  return `${name.padEnd(12)} ${what.padEnd(COLUMN)} ${seconds} s`;
}

/** Finds or makes one part and reports it in a line. `make` returns what it did; it may announce work that takes minutes. */
export async function part(name: string, make: (announce: (what: string) => void) => Promise<string>): Promise<void> {
  const begin = Date.now();
  const what = await make((announcement) => console.log(`${name.padEnd(12)} ${announcement}`));
  console.log(reportLine(name, what, begin));
}
